"""The figures: one small function for each. Floor and server take turns, so that noise hits both."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from polytope.api import Client

from benchmarks import large, load, polling
from benchmarks.figure import Figure, Plan, Target, on, timed
from benchmarks.floor import TINY, BareServer
from benchmarks.standalone import API, AUTH, SERVER_CONFIG, Bench, complete, complete_one
from testbed.server import PASSWORD, USER, StandaloneServer

#: As many connections as the figures "under load" have.
_MANY = 16
_TEST = load.message("GET", f"{API}/test")
_SUBMIT_HELD = polling.submission(AUTH)
_REVOKE_ALL = load.message("DELETE", f"{API}/requests/all", AUTH)

# -- calls -------------------------------------------------------------------------------------------------


def _rate_of(port: int, round_: load.Round, request: bytes, connections: int, status: int = 200) -> float:
    return load.rate(port, round_, [load.repeat(round_, request, status) for _ in range(connections)])


def get_test(run: Bench) -> list[Figure]:
    """GET /test, which touches no back-end: what the frontend's layers cost."""
    figures = []
    for connections in (1, _MANY):
        floors, values = run.alternate(
            partial(_test_rate, run, run.bare.port, connections),
            partial(_test_rate, run, run.server.port, connections),
        )
        target = Target(0.6, of_ratio=True) if connections == _MANY else None
        name = f"GET /test, {on(connections)}"
        figures.append(Figure(name, "/s", values, floors, "bare Falcon, JSON", target))
    return figures


def _test_rate(run: Bench, port: int, connections: int) -> float:
    return _rate_of(port, run.round(), _TEST, connections)


def submissions(run: Bench) -> list[Figure]:
    """Durable submissions to a collection whose requests wait: nothing but the submission takes time."""
    figures = []
    for connections in (1, _MANY):
        floors, values = run.alternate(
            partial(run.inserts.rate, run.plan.seconds), partial(_submission_rate, run, connections)
        )
        target = Target(1000, 2500) if connections == _MANY else None
        name = f"submissions, {on(connections)}"
        figures.append(Figure(name, "/s", values, floors, "durable inserts, one by one", target))
    return figures


def _submission_rate(run: Bench, connections: int) -> float:
    rate = _rate_of(run.server.port, run.round(20_000), _SUBMIT_HELD, connections, 202)
    _revoke_all(run)
    return rate


def _revoke_all(run: Bench) -> None:
    _rate_of(run.server.port, load.Round(60.0, most=1), _REVOKE_ALL, 1)


def polls(run: Bench) -> list[Figure]:
    """Polls that are not held, of requests that stay live."""
    messages = polling.live(run.server.port, AUTH, run.plan.live, _MANY)

    def measure() -> float:
        return polling.rate(run.server.port, run.round(), messages, _MANY)

    floors, values = run.alternate(partial(_test_rate, run, run.bare.port, _MANY), measure)
    _revoke_all(run)
    name = f"polls of {run.plan.live} live requests, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "bare Falcon, JSON", Target(0.4, of_ratio=True))]


# -- a request from its submission to its last byte --------------------------------------------------------


def latency(run: Bench) -> list[Figure]:
    """From POST to the last byte of a tiny result, one request after the other on one connection."""
    values, floors = [], []
    for _ in range(run.plan.rounds):
        floors += _latencies(run.bare.port, run, run.inserts.one)
        values += _latencies(run.server.port, run)
    name = "submission to last byte, tiny result"
    floor = "the 3 calls on bare Falcon, 1 durable insert"
    target = Target(25, 10, at_least=False)
    slowest = [sorted(times)[int(len(times) * 0.95)] for times in (values, floors)]
    return [
        Figure(f"{name}, median", "ms", values, floors, floor, target),
        Figure(f"{name}, 95th percentile", "ms", slowest[:1], slowest[1:], floor),
    ]


def _latencies(port: int, run: Bench, besides: Callable[[], None] | None = None) -> list[float]:
    """Milliseconds of each request; `besides` is done for each as well, and counts."""
    round_ = load.Round(30.0, run.plan.sequential // run.plan.rounds)
    load.run(port, round_, [complete(round_)])
    if besides is None:
        return [seconds * 1e3 for seconds in round_.times]
    return [(seconds + timed(besides)) * 1e3 for seconds in round_.times]


def client_latency(run: Bench) -> list[Figure]:
    """The same with `polytope-client`, whose own time is in the floor too."""
    bare, server = (_retrieve_with(port, run.bare.folder) for port in (run.bare.port, run.server.port))
    bare()
    server()
    pairs = [(timed(bare) + timed(run.inserts.one), timed(server)) for _ in range(run.plan.client)]
    floors, values = ([pair[which] * 1e3 for pair in pairs] for which in (0, 1))
    floor = "polytope-client on bare Falcon, 1 durable insert"
    target = Target(40, 20, at_least=False)
    return [Figure("polytope-client retrieve, tiny result, median", "ms", values, floors, floor, target)]


def _retrieve_with(port: int, folder: Path) -> Callable[[], None]:
    client = Client(
        config_path=str(folder),
        key_path=str(folder / "key"),
        address=f"http://{load.HOST}:{port}",
        username=USER,
        password=PASSWORD,
        insecure=True,
        quiet=True,
    )

    def retrieve() -> None:
        if client.retrieve("echo", TINY.decode()) != [TINY]:
            raise load.LoadError("polytope-client did not get the result")

    return retrieve


def completed(run: Bench) -> list[Figure]:
    """Whole requests, several at a time: all processes work, on the same cores as the load generator."""

    def measure(port: int) -> float:
        round_ = run.round(20_000)
        return load.rate(port, round_, [complete(round_) for _ in range(_MANY)])

    floors, values = run.alternate(partial(measure, run.bare.port), partial(measure, run.server.port))
    name = f"completed requests, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "the 3 calls on bare Falcon", Target(200, 500))]


# -- start and rest ----------------------------------------------------------------------------------------


def start_up(plan: Plan, folder: Path) -> list[Figure]:
    """From the start of the command to the first answer, and to the last byte of the first result."""
    floors, answers, results = [], [], []
    for number in range(plan.starts):
        bare = BareServer(folder / "start-bare")
        started = time.perf_counter()
        with bare:
            floors.append(time.perf_counter() - started)
        started = time.perf_counter()
        with StandaloneServer(folder / f"start-{number}", SERVER_CONFIG) as server:
            answers.append(time.perf_counter() - started)
            complete_one(server)
            results.append(time.perf_counter() - started)
    floor = "bare Falcon under gunicorn"
    return [
        Figure("start-up of standalone: first answer", "s", answers, floors, floor),
        Figure("start-up of standalone: first result", "s", results, floors, floor),
    ]


def idle(run: Bench) -> list[Figure]:
    """Processor time of all processes of an idle server."""
    time.sleep(min(2.0, run.plan.idle / 3))  # what the measurements before have left to do
    groups = run.server.all_processes(), run.bare.processes()
    before = [_processortimed(group) for group in groups]
    started = time.perf_counter()
    time.sleep(run.plan.idle)
    seconds = time.perf_counter() - started
    value, floor = (
        (_processortimed(group) - was) / seconds * 100 for group, was in zip(groups, before, strict=True)
    )
    target = Target(3, at_least=False)
    return [
        Figure("processor time of an idle server", "% of a core", [value], [floor], "bare Falcon", target)
    ]


def _processortimed(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


#: In the order in which they are measured: the memory first, the idle server last.
MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    large.memory,
    get_test,
    latency,
    client_latency,
    submissions,
    polls,
    completed,
    large.download,
    idle,
)
