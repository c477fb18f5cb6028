"""However many fields and grids a child of a worker sees, its memory stays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyfdb
import pytest
from fdb_fields import DAY, FILED, SURFACE
from mir_command import changed

from polytope_demonstration import fdb as demo
from polytope_demonstration import fields

pytestmark = pytest.mark.unmeasured

FULL = os.environ.get("POLYTOPE_FAULTS") == "full"
#: Fields on O320, of 0.6 MB each, and changes of the grid that is asked for.
GRID = 320
COUNT = 500 if FULL else 40
#: Bytes by which the process may grow; what it keeps of grids in memory has a bound of its own (`weights`).
MOST_GROWTH = 48 << 20
#: Bytes of weights that are kept in memory beside those that were used last.
KEPT = 64 << 20
_PROGRAM = """
import json, sys
from pathlib import Path
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.testing.datasource import job

def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

settings, warm, requests = json.loads(sys.argv[1])
source = FDBDataSource("large", FDBSettings.model_validate({**settings, "postprocess": True}))
source.prepare()
read = lambda request: sum(len(chunk) for chunk in source.retrieve(job(request)).chunks)
for request in warm:
    read(request)
before, sizes, most = memory(), [], 0
for request in requests:
    sizes.append(read(request))
    most = max(most, memory() - before)
print(json.dumps([sizes, most]))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Of a data source on an FDB with one field at many steps, and a coarse one."""
    root = tmp_path_factory.mktemp("many")
    (root / "schema").write_text(FILED)
    (root / "data").mkdir()
    config = demo.configuration(root)
    fdb = pyfdb.FDB(config)
    values = np.random.default_rng(1).normal(280, 20, len(fields.coordinates(GRID)[0]))
    large = fields.encode(fields.Label("2t", DAY), values, GRID)
    for step in range(COUNT):
        fdb.archive(changed(base=large, step=step))
    fdb.archive(changed(paramId=151))
    fdb.flush()
    return {"fdb_config": config, "weights": str(root / "weights"), "max_weights": "5M"}


def run(settings: object, warm: list[object], requests: list[object]) -> tuple[list[int], int]:
    """The sizes of results, and by how many bytes the process grew that made them."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps([settings, warm, requests])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    # MIR wrote nothing beside it.
    sizes, growth = json.loads(done.stdout)
    return sizes, growth


def test_many_fields(settings: dict[str, object]) -> None:
    request = {**SURFACE, "param": "2t", "grid": "0.5/0.5"}
    steps = f"0/to/{COUNT - 1}/by/1"
    sizes, growth = run(settings, [{**request, "step": "0/1"}], [{**request, "step": steps}])
    assert sizes[0] > COUNT * 300_000
    assert growth < MOST_GROWTH


def test_many_grids(settings: dict[str, object]) -> None:
    request = {**SURFACE, "param": "msl", "step": "0"}
    grids = [f"{3 + n / 400:.4f}/{3 + n / 400:.4f}" for n in range(COUNT)]
    # Some first: what MIR keeps of them in memory has a bound.
    sizes, growth = run(
        settings,
        [{**request, "grid": f"2/{n}"} for n in (2, 3, 4)],
        [{**request, "grid": grid} for grid in grids],
    )
    assert len(set(sizes)) > COUNT / 2
    assert growth < MOST_GROWTH + KEPT
    kept = sum(path.stat().st_size for path in Path(str(settings["weights"])).rglob("*") if path.is_file())
    assert kept <= 5 << 20
