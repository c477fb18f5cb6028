"""The figures: one small function for each. Floor and server take turns, so that noise hits both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from polytope.api import Client

from benchmarks import load, polling
from benchmarks.figure import MIB, Figure, Peaks, Plan, Target, alternate, gib, on, timed
from benchmarks.floor import TINY, BareServer, Inserts
from polytope_server.testing.server import CONFIG, PASSWORD, USER, StandaloneServer, basic

_MB = 1e6
_API = "/api/v1"
#: As many connections as the figures "under load" have.
_MANY = 16
_AUTH = basic(USER, PASSWORD)
_TEST = load.message("GET", f"{_API}/test")
_SUBMIT = load.message("POST", f"{_API}/requests/echo", _AUTH, {"verb": "retrieve", "request": TINY.decode()})
_SUBMIT_HELD = polling.submission(_AUTH)
_REVOKE_ALL = load.message("DELETE", f"{_API}/requests/all", _AUTH)

#: The demonstration sources, and one collection that holds what it is given.
SERVER_CONFIG: dict[str, Any] = {
    "collections": {
        **CONFIG["collections"],
        polling.HELD: {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
    }
}


@dataclass(frozen=True)
class Bench:
    """What is measured, and what it is measured against."""

    plan: Plan
    server: StandaloneServer
    bare: BareServer
    inserts: Inserts

    def round(self, most: int = 1_000_000) -> load.Round:
        """A round as long as the plan says."""
        return load.Round(self.plan.seconds, most)

    def alternate(
        self, floor: Callable[[], float], measure: Callable[[], float]
    ) -> tuple[list[float], list[float]]:
        """Floors and values of all rounds."""
        return alternate(self.plan, floor, measure)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """A server and its floors, with all their files below `folder`."""
    inserts = Inserts(folder / "inserts")
    try:
        with (
            BareServer(folder / "bare") as bare,
            StandaloneServer(folder / "server", SERVER_CONFIG) as server,
        ):
            complete_one(server)
            yield Bench(plan, server, bare, inserts)
    finally:
        inserts.close()


def complete_one(server: StandaloneServer) -> None:
    """One request from its submission to its last byte, after which all processes have started."""
    round_ = load.Round(60.0, most=1)
    load.run(server.port, round_, [_complete(round_)])


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
    messages = polling.live(run.server.port, _AUTH, run.plan.live, _MANY)

    def measure() -> float:
        return polling.rate(run.server.port, run.round(), messages, _MANY)

    floors, values = run.alternate(partial(_test_rate, run, run.bare.port, _MANY), measure)
    _revoke_all(run)
    name = f"polls of {run.plan.live} live requests, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "bare Falcon, JSON", Target(0.4, of_ratio=True))]


# -- a request from its submission to its last byte --------------------------------------------------------


def _complete(round_: load.Round) -> load.Session:
    """Submit, poll (held by the server) and download; the next request when all bytes are there."""
    while round_.more():
        started = time.perf_counter()
        submitted = load.check((yield _SUBMIT), 202)
        place = yield from _processed(load.request_id(submitted))
        result = load.check((yield load.message("GET", place)), 200)
        if result.body != TINY:
            raise load.LoadError(f"the result is {result.body[:100]!r} instead of {TINY!r}")
        round_.done(time.perf_counter() - started)


def _processed(request_id: str) -> Generator[bytes, load.Reply, str]:
    """Poll until the request has ended; returns the path of its result."""
    poll = load.message("GET", f"{_API}/requests/{request_id}", _AUTH)
    while (reply := (yield poll)).status == 202:
        pass
    location = load.check(reply, 303).header(b"location").decode()
    return f"{_API}/{location.removeprefix('../')}"


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
    load.run(port, round_, [_complete(round_)])
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
        return load.rate(port, round_, [_complete(round_) for _ in range(_MANY)])

    floors, values = run.alternate(partial(measure, run.bare.port), partial(measure, run.server.port))
    name = f"completed requests, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "the 3 calls on bare Falcon", Target(200, 500))]


# -- large results -----------------------------------------------------------------------------------------


def _make(run: Bench, size: int) -> str:
    """Have a result of that many bytes made; returns its path on the server."""
    paths: list[str] = []
    body = {"verb": "retrieve", "request": str(size)}

    def session() -> load.Session:
        submitted = yield load.message("POST", f"{_API}/requests/dummy", _AUTH, body)
        paths.append((yield from _processed(load.request_id(load.check(submitted, 202)))))

    load.run(run.server.port, load.Round(120.0), [session()])
    return paths[0]


def _staged(run: Bench, path: str) -> Path:
    """The file of a result in the staging."""
    return run.server.data / "staging" / "objects" / path.removeprefix(f"{_API}/downloads/")


def _megabytes(port: int, path: str, size: int) -> float:
    received, seconds = load.download(port, path)
    if received != size:
        raise load.LoadError(f"{received} bytes came instead of {size}")
    return received / seconds / _MB


def _speed(run: Bench, path: str, size: int, rounds: int) -> tuple[list[float], list[float]]:
    """MB/s of the bare server and of this one, each on the same file."""
    link = run.bare.link(_staged(run, path))
    floors, values = [], []
    for _ in range(rounds):
        floors.append(_megabytes(run.bare.port, link, size))
        values.append(_megabytes(run.server.port, path, size))
    return floors, values


def memory(run: Bench) -> list[Figure]:
    """Growth of the peak memory of every process while a large result is made, and while it flows.

    Comes before all else that is large: what a process has once taken it would not have to take again.
    """
    size, name, target = run.plan.large, gib(run.plan.large), Target(64, at_least=False)
    processes = run.server.all_processes()
    making = Peaks(processes)
    started = time.perf_counter()
    path = _make(run, size)
    made = size / (time.perf_counter() - started) / _MB
    growth = making.growth()
    write = _write_speed(run, _staged(run, path), size)
    flowing, bare = Peaks(processes), Peaks(run.bare.processes())
    floors, values = _speed(run, path, size, rounds=max(1, run.plan.rounds - 3))
    complete_one(run.server)
    return [
        Figure(f"{name} result: made", "MB/s", [made], [write], "the same bytes written to disk"),
        Figure(f"{name} result: growth of memory, made", "MiB", [growth], [], "none", target),
        Figure(
            f"{name} result: growth of memory, flowing", "MiB", [flowing.growth()], [bare.growth()],
            "bare Falcon, same file", target,
        ),
        Figure(
            f"{name} result: to the client", "MB/s", values, floors, "bare Falcon, same file",
            Target(0.6, of_ratio=True),
        ),
    ]  # fmt: skip


def _write_speed(run: Bench, source: Path, size: int) -> float:
    """MB/s of writing as many bytes to a file of the same disk, and syncing it."""
    target, chunk = run.bare.folder / uuid4().hex, b"x" * MIB
    started = time.perf_counter()
    with target.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(chunk)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return size / seconds / _MB


def download(run: Bench) -> list[Figure]:
    """A large result to the client, again and again: the file is in the page cache, for both."""
    path = _make(run, run.plan.file)
    floors, values = _speed(run, path, run.plan.file, run.plan.rounds)
    name = f"{gib(run.plan.file)} result: to the client"
    return [Figure(name, "MB/s", values, floors, "bare Falcon, same file", Target(0.6, of_ratio=True))]


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
    """Processor time of all processes of a server to which nobody talks."""
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
    memory,
    get_test,
    latency,
    client_latency,
    submissions,
    polls,
    completed,
    download,
    idle,
)
