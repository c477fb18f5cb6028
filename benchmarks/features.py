"""Features: the same requests to this server's data source and to the published stack."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import feature_requests
from benchmarks.feature_bench import POINT, PUBLISHED, Bench, Request, bench, box, mapper_of, series
from benchmarks.feature_fields import FORECAST, MEMBERS, UPPER
from benchmarks.feature_source import FeatureSource
from benchmarks.figure import Figure, Target
from testbed.published_stack import PublishedStack

__all__ = ["MEASUREMENTS", "bench"]

TEN_POINTS = [[40.0 + n, 2.3 + n] for n in range(10)]
#: Requests of a round where one takes milliseconds.
_REPEATS = 7


def _times_quicker(times: float) -> Target:
    return Target(1 / times, of_ratio=True, at_least=False)


# -- the same request to both -----------------------------------------------------------------------------


def feature_series(run: Bench) -> list[Figure]:
    """Time series of nine steps."""
    grid = run.plan.grid
    return [
        run.compare("1 point x 9 steps", series([POINT]), grid, _times_quicker(10), _REPEATS),
        run.compare("10 points x 9 steps", series(TEN_POINTS), grid, _times_quicker(12), _REPEATS),
    ]


def feature_areas(run: Bench) -> list[Figure]:
    """Boxes, and a polygon of 50 vertices, of one field."""
    grid = run.plan.grid
    return [
        run.compare("box of 10 x 10 degrees", box(40, 0, 50, 10), grid, _times_quicker(15)),
        run.compare("box of 30 x 40 degrees", box(30, 0, 60, 40), grid, _times_quicker(8)),
        run.compare("polygon of 50 vertices", _polygon(), grid),
    ]


def _polygon() -> Request:
    corners = [
        [48 + 6 * math.cos(2 * math.pi * n / 50), 8 + 9 * math.sin(2 * math.pi * n / 50)] for n in range(50)
    ]
    return {**FORECAST, "step": "0", "feature": {"type": "polygon", "shape": [*corners, corners[0]]}}


def feature_trajectory(run: Bench) -> list[Figure]:
    """A path of 200 points through levels and steps."""
    spread = [n / 199 for n in range(200)]
    points = [[40 + 15 * s, 60 * s, 1000 - 750 * s, 48 * s] for s in spread]
    feature = {
        "type": "trajectory",
        "points": points,
        "axes": ["latitude", "longitude", "levelist", "step"],
        "inflation": [0.3, 0.3, 100, 3],
        "inflate": "box",
    }
    figure = run.compare("4-D trajectory of 200 points", {**UPPER, "feature": feature}, run.plan.upper_grid)
    return [figure]


# -- many fields ------------------------------------------------------------------------------------------


def feature_members(run: Bench) -> list[Figure]:
    """One point of many fields: of files that are on the disk only, without and with an index, and again."""
    request = {
        **MEMBERS,
        "number": "/".join(str(n + 1) for n in range(run.plan.members)),
        "step": "/".join(map(str, range(run.plan.steps))),
        "feature": {"type": "timeseries", "points": [POINT], "time_axis": "step"},
    }
    mapper = mapper_of(run.plan.member_grid)
    name = f"1 point x {run.plan.members} members x {run.plan.steps} steps"
    figures = [_cold(run, f"{name}, cold", request, mapper)]
    _make_index(run, request)
    figures.append(_cold(run, f"{name}, cold, with an index", request, mapper))
    return [*figures, run.compare(f"{name}, again", request, run.plan.member_grid)]


def _cold(run: Bench, name: str, request: Request, mapper: Mapping[str, Any]) -> Figure:
    """The first request of a new process for files that are not in memory."""
    values, floors = [], []
    with PublishedStack(run.fdb) as published, FeatureSource(run.fdb) as source:
        # What is imported at the first request, and the first opening of a library, are not meant.
        published.time(series([POINT]), mapper_of(run.plan.grid))
        source.time(series([POINT]))
        _drop_pages(run.root)
        floors.append(published.time(request, mapper) * 1e3)
        _drop_pages(run.root)
        values.append(source.time(request) * 1e3)
    return Figure(f"feature, {name}", "ms", values, floors, PUBLISHED)


def _drop_pages(root: Path) -> None:
    """Let the system forget what it has of the files of an FDB."""
    os.sync()
    for path in (path for path in root.rglob("*") if path.is_file()):
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def _make_index(run: Bench, request: Request) -> None:
    import gribjumplib
    import yaml

    keys = ",".join(f"{key}={value}" for key, value in request.items() if key != "feature")
    (run.root / "config.yaml").write_text(yaml.safe_dump(run.fdb))
    command = [str(Path(gribjumplib.__file__).parent / "bin" / "gribjump-scan"), keys]
    variables = {**os.environ, "FDB5_CONFIG_FILE": str(run.root / "config.yaml")}
    subprocess.run(command, env=variables, check=True, capture_output=True, timeout=600)


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    feature_requests.feature_memory,
    feature_requests.feature_requests,
    feature_series,
    feature_areas,
    feature_trajectory,
    feature_members,
)
