"""Features through the REST API of a server: time to the last byte, processor time and memory."""

from __future__ import annotations

import os
import statistics
import time

import psutil

from benchmarks import feature_fields, load
from benchmarks.feature_bench import POINT, Bench, Request, box, series
from benchmarks.feature_fields import FORECAST, STEPS
from benchmarks.figure import Figure, Peaks, Target
from benchmarks.standalone import API, AUTH, complete, processed

#: So many time series are under way at a time.
_SEVERAL = 4


def feature_requests(run: Bench) -> list[Figure]:
    """Time series through the REST API, one after the other, and several at a time."""
    md5, _ = feature_fields.describe(run.plan.grid)
    fields = [{**FORECAST, "step": str(step)} for step in STEPS]
    _latency(run, series([POINT]), 3)
    run.source.time_jump(fields, 0, md5)
    values, floors = [], []
    for _ in range(run.plan.rounds):
        tiny = statistics.median(_tiny(run))
        jump = statistics.median(run.source.time_jump(fields, 0, md5) for _ in range(20)) * 1e3
        floors.append(tiny + jump)
        values.append(statistics.median(_latency(run, series([POINT]))))
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
        sessions = [_extract(round_, series([POINT])) for _ in range(_SEVERAL)]
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
    request = {**box(-90, 0, 90, 360), "step": "0/6"}
    _latency(run, box(40, 0, 50, 10), 2 * (os.cpu_count() or 1))
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
