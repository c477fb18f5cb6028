"""Features: this server's data source and the published stack on the same fields, and whole requests."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import feature_fields, load
from benchmarks.feature_fields import FORECAST, MEMBERS, STEPS, UPPER
from benchmarks.feature_source import FeatureSource
from benchmarks.figure import Figure, Peaks, Plan, Target, alternate
from benchmarks.standalone import API, AUTH, SERVER_CONFIG, complete, processed
from testbed.published_stack import PublishedStack
from testbed.server import StandaloneServer

Request = dict[str, Any]

_PUBLISHED = "published stack"
_POINT = [48.8, 2.3]
_TEN_POINTS = [[40.0 + n, 2.3 + n] for n in range(10)]
#: So many time series are under way at a time.
_SEVERAL = 4


@dataclass(frozen=True)
class Bench:
    """The same FDB for both stacks, and for a server."""

    plan: Plan
    fdb: dict[str, Any]
    root: Path
    source: FeatureSource
    published: PublishedStack
    server: StandaloneServer

    def compare(self, name: str, request: Request, number: int, target: Target | None = None) -> Figure:
        """Milliseconds of both stacks for a request for fields on an octahedral grid."""
        mapper = mapper_of(number)
        theirs, ours = alternate(
            self.plan,
            lambda: self.published.time(request, mapper) * 1e3,
            lambda: self.source.time(request) * 1e3,
        )
        return Figure(f"feature, {name}", "ms", ours, theirs, _PUBLISHED, target)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """An FDB, and what extracts features from it."""
    root = folder / "features"
    fdb = feature_fields.fill(root, plan)
    source = {"type": "polytope", "fdb_config": fdb, "gribjump_config": {}}
    config = {
        **SERVER_CONFIG,
        "datasources": {"echo": {"type": "echo"}, "features": source},
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("echo", "features")
        },
    }
    with ExitStack() as stack:
        yield Bench(
            plan,
            fdb,
            root,
            stack.enter_context(FeatureSource(fdb)),
            stack.enter_context(PublishedStack(fdb)),
            stack.enter_context(StandaloneServer(folder / "features-server", config)),
        )


def mapper_of(number: int) -> dict[str, Any]:
    """How the published stack is told of an octahedral grid."""
    return {"type": "octahedral", "resolution": number, "md5_hash": feature_fields.describe(number)[0]}


def _series(points: list[list[float]], **keys: str) -> Request:
    feature = {"type": "timeseries", "points": points, "time_axis": "step"}
    return {**FORECAST, "step": "/".join(map(str, STEPS)), **keys, "feature": feature}


def _box(south: float, west: float, north: float, east: float) -> Request:
    feature = {"type": "boundingbox", "points": [[south, west], [north, east]]}
    return {**FORECAST, "step": "0", "feature": feature}


def _times_quicker(times: float) -> Target:
    return Target(1 / times, of_ratio=True, at_least=False)


# -- the same request to both -----------------------------------------------------------------------------


def feature_series(run: Bench) -> list[Figure]:
    """Time series of nine steps."""
    grid = run.plan.grid
    return [
        run.compare("1 point x 9 steps", _series([_POINT]), grid, _times_quicker(10)),
        run.compare("10 points x 9 steps", _series(_TEN_POINTS), grid, _times_quicker(12)),
    ]


def feature_areas(run: Bench) -> list[Figure]:
    """Boxes, and a polygon of 50 vertices, of one field."""
    grid = run.plan.grid
    return [
        run.compare("box of 10 x 10 degrees", _box(40, 0, 50, 10), grid, _times_quicker(15)),
        run.compare("box of 30 x 40 degrees", _box(30, 0, 60, 40), grid, _times_quicker(8)),
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
        "feature": {"type": "timeseries", "points": [_POINT], "time_axis": "step"},
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
        published.time(_series([_POINT]), mapper_of(run.plan.grid))
        source.time(_series([_POINT]))
        _drop_pages(run.root)
        floors.append(published.time(request, mapper) * 1e3)
        _drop_pages(run.root)
        values.append(source.time(request) * 1e3)
    return Figure(f"feature, {name}", "ms", values, floors, _PUBLISHED)


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


# -- a request from its submission to its last byte -------------------------------------------------------


def feature_requests(run: Bench) -> list[Figure]:
    """Time series through the REST API, one after the other, and several at a time."""
    md5, _ = feature_fields.describe(run.plan.grid)
    fields = [{**FORECAST, "step": str(step)} for step in STEPS]
    _latency(run, _series([_POINT]), 3)
    run.source.time_jump(fields, 0, md5)
    values, floors = [], []
    for _ in range(run.plan.rounds):
        tiny = statistics.median(_tiny(run))
        jump = statistics.median(run.source.time_jump(fields, 0, md5) for _ in range(20)) * 1e3
        floors.append(tiny + jump)
        values.append(statistics.median(_latency(run, _series([_POINT]))))
    floor = "tiny result, and GribJump.extract alone"
    target = Target(2.5, of_ratio=True, at_least=False)
    return [
        Figure("time series of 9 steps, POST to last byte", "ms", values, floors, floor, target),
        _rate(run),
    ]


def _tiny(run: Bench) -> list[float]:
    round_ = load.Round(30.0, run.plan.sequential // run.plan.rounds)
    load.run(run.server.port, round_, [complete(round_)])
    return [seconds * 1e3 for seconds in round_.times]


def _latency(run: Bench, request: Request, most: int | None = None) -> list[float]:
    round_ = load.Round(30.0, most or run.plan.sequential // run.plan.rounds)
    load.run(run.server.port, round_, [_extract(round_, request)])
    return [seconds * 1e3 for seconds in round_.times]


def _extract(round_: load.Round, request: Request) -> load.Session:
    """Submit, poll and download, as for a tiny result; the next request when all bytes are there."""
    submission = load.message(
        "POST", f"{API}/requests/features", AUTH, {"verb": "retrieve", "request": request}
    )
    while round_.more():
        started = time.perf_counter()
        submitted = load.check((yield submission), 202)
        place = yield from processed(load.request_id(submitted))
        result = load.check((yield load.message("GET", place)), 200)
        if b'"coverages"' not in result.body:
            raise load.LoadError(f"the result is {result.body[:100]!r}")
        round_.done(time.perf_counter() - started)


def _rate(run: Bench) -> Figure:
    """Time series for each second that processors work for the worker."""
    worker = run.server.processes("worker")[0]
    values, floors = [], []
    for _ in range(run.plan.rounds):
        round_ = load.Round(run.plan.seconds)
        before = _seconds_of(worker)
        sessions = [_extract(round_, _series([_POINT])) for _ in range(_SEVERAL)]
        floors.append(load.rate(run.server.port, round_, sessions))
        values.append(round_.count / max(_seconds_of(worker) - before, 0.01))
    name = "time series of 9 steps, a core of the worker"
    return Figure(name, "/s", values, floors, f"as many as all cores do, {_SEVERAL} at a time", Target(30))


def _seconds_of(worker: psutil.Process) -> float:
    """Processor time of a worker and its children."""
    times = [process.cpu_times() for process in (worker, *worker.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def feature_memory(run: Bench) -> list[Figure]:
    """Growth of the peak memory of every process while a large area is extracted."""
    request = {**_box(-90, 0, 90, 360), "step": "0/6"}
    _latency(run, _box(40, 0, 50, 10), 2 * (os.cpu_count() or 1))
    peaks = Peaks(run.server.all_processes())
    places: list[str] = []
    started = time.perf_counter()
    load.run(run.server.port, load.Round(300.0, 1), [_make(request, places)])
    seconds = time.perf_counter() - started
    size, _ = load.download(run.server.port, places[0])
    name = f"features, {size / 1e6:,.0f} MB of CoverageJSON"
    return [
        Figure(f"{name}: made", "MB/s", [size / 1e6 / seconds], [], "none"),
        Figure(f"{name}: growth of memory", "MiB", [peaks.growth()], [], "none", Target(64, at_least=False)),
    ]


def _make(request: Request, places: list[str]) -> load.Session:
    """Have a result made; its path on the server is added to `places`."""
    submission = load.message(
        "POST", f"{API}/requests/features", AUTH, {"verb": "retrieve", "request": request}
    )
    submitted = load.check((yield submission), 202)
    places.append((yield from processed(load.request_id(submitted))))


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    feature_memory,
    feature_requests,
    feature_series,
    feature_areas,
    feature_trajectory,
    feature_members,
)
