"""A result of any size is extracted and written in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyfdb
import pytest
from fdb_fields import FILED

from polytope_demonstration import fdb as demo
from polytope_demonstration import fields

pytestmark = pytest.mark.unmeasured

FULL = os.environ.get("POLYTOPE_FAULTS") == "full"
#: O640 has 1.7 million points: 90 MB of CoverageJSON for each step.
GRID, STEPS = 640, 6 if FULL else 2
MOST_GROWTH = 64 << 20
_PROGRAM = """
import json, sys
from pathlib import Path
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

config, request, warm = json.loads(sys.argv[1])
settings = {"gribjump_config": {"type": "local"}, "fdb_config": config}
source = PolytopeDataSource("large", PolytopeSettings.model_validate(settings))
source.prepare()
for _ in source.retrieve(job(warm)).chunks:
    pass
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
size = sum(map(len, source.retrieve(job(request)).chunks))
print(json.dumps([size, memory("VmHWM") - before]))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> object:
    root = tmp_path_factory.mktemp("large")
    (root / "schema").write_text(FILED)
    (root / "data").mkdir()
    config = demo.configuration(root)
    fdb = pyfdb.FDB(config)
    random = np.random.default_rng(1)
    points = len(fields.coordinates(GRID)[0])
    for step in range(STEPS):
        label = fields.Label("2t", date(2026, 1, 1), step)
        fdb.archive(fields.encode(label, random.normal(280, 20, points), GRID))
    fdb.flush()
    return config


def measure(config: object, feature: object) -> tuple[int, int]:
    """The bytes of a result, and by how many the process grew that made it."""
    import json

    keys = {
        "class": "od",
        "stream": "oper",
        "expver": "0001",
        "domain": "g",
        "date": "20260101",
        "time": "0000",
    }
    keys |= {"type": "fc", "levtype": "sfc", "param": "2t"}
    steps = f"0/to/{STEPS - 1}/by/1"
    warm = {**keys, "step": "0", "feature": {"type": "position", "points": [[0, 0]]}}
    arguments = json.dumps([config, {**keys, "step": steps, "feature": feature}, warm])
    command = [sys.executable, "-c", _PROGRAM, arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    size, growth = json.loads(done.stdout.splitlines()[-1])
    return size, growth


def test_a_large_area_grows_no_process(config: object) -> None:
    size, growth = measure(config, {"type": "boundingbox", "points": [[-90, -180], [90, 180]]})
    assert size > 80e6 * STEPS
    assert growth < MOST_GROWTH


def test_many_points_grow_no_process(config: object) -> None:
    points = [[latitude, longitude] for latitude in range(-89, 90, 2) for longitude in range(0, 360, 4)]
    size, growth = measure(config, {"type": "position", "points": points})
    assert size > 500 * len(points)
    assert growth < MOST_GROWTH
