"""The short form of the benchmarks: that all figures are there and make sense; never how fast."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.services.programs import NotInstalledError, program

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]
MAY_BE_NOUGHT = {"MiB": 6, "% of a core": 1, "calls": 1, "restarts": 1}
#: How many figures there are of each unit.
UNITS = {"/s": 16, "ms": 18, "s": 3, "MB/s": 12, **MAY_BE_NOUGHT}


@pytest.mark.timeout(900)  # it starts seven servers, and measures a minute
def test_the_short_form_produces_all_figures(tmp_path: Path) -> None:
    try:
        for service in ("mongodb", "rabbitmq", "s3", "redis"):
            program(service)
    except NotInstalledError as error:
        pytest.skip(str(error))
    output = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--output",
        str(output),
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    document = json.loads(output.read_text())
    figures = {figure["name"]: figure for figure in document["figures"]}
    assert document["commit"]
    for unit, count in UNITS.items():
        found = [figure for figure in figures.values() if figure["unit"] == unit]
        assert len(found) == count, unit
        # Memory may not grow at all, and an idle server may use less time than the clock can tell.
        assert all(figure["value"] >= 0 for figure in found)
        if unit not in MAY_BE_NOUGHT:
            assert all(figure["value"] > 0 and figure["floor_value"] != 0 for figure in found)
    assert all(name in done.stdout for name in figures)
