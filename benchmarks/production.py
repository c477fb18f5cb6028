"""The figures of a server on MongoDB, RabbitMQ, S3 and Redis, which share the cores of this machine."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import load, polling
from benchmarks.figure import Figure, Plan, Target, alternate, on
from benchmarks.floor import TINY, BareServer
from testbed.server import CONFIG, PASSWORD, USER, StandaloneServer, basic
from testbed.services import S3, MongoDB, RabbitMQ, Redis

FILES = Path(__file__).parent.parent / "polytope-deployment" / "config"
STACK = FILES / "mongodb-rabbitmq-s3-redis.yaml"
_API = "/api/v1"
MANY = 16
_AUTH = basic(USER, PASSWORD)
_JSON = {**_AUTH, "Content-Type": "application/json"}
_BODY = json.dumps({"verb": "retrieve", "request": TINY.decode()})
_HELD_BODY = {"verb": "retrieve", "request": "a: 1"}
SUBMIT_HELD = polling.submission(_AUTH)
_REVOKE_ALL = load.message("DELETE", f"{_API}/requests/all", _AUTH)
_INSERT = load.message("POST", "/mongodb", _AUTH, _HELD_BODY)
SECTIONS: dict[str, Any] = {
    # As many children as by default: the tests' configuration has fewer.
    "worker": {},
    "collections": {
        **CONFIG["collections"],
        polling.HELD: {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
    },
}


@dataclass(frozen=True)
class Bench:
    """What is measured, and what it is measured against."""

    plan: Plan
    folder: Path
    variables: dict[str, str]
    server: StandaloneServer
    bare: BareServer

    def round(self) -> load.Round:
        """A round as long as the plan says."""
        return load.Round(self.plan.seconds, 20_000)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """The servers, a server on them, and the bare application; all files are below `folder`."""
    with ExitStack() as stack:
        services = [stack.enter_context(kind(folder)) for kind in (MongoDB, RabbitMQ, S3, Redis)]
        variables = {key: value for service in services for key, value in service.variables.items()}
        bare = stack.enter_context(BareServer(folder / "bare", variables))
        server = stack.enter_context(StandaloneServer(folder / "server", SECTIONS, [STACK], variables))
        run = Bench(plan, folder, variables, server, bare)
        Life(server.port).complete()
        yield run


# -- whole requests ----------------------------------------------------------------------------------------


class Life:
    """A client with one connection to the API and one to the S3 that results come from."""

    def __init__(self, port: int) -> None:
        self._api = http.client.HTTPConnection(load.HOST, port, timeout=60)
        self._s3: http.client.HTTPConnection | None = None

    def complete(self) -> str:
        """One request from its submission to its last byte; returns the address of the result."""
        location = self._call("POST", f"{_API}/requests/echo", 202, _BODY)
        path = f"{_API}/requests/{location.rpartition('/')[2]}"
        while (location := self._call("GET", path)) and "://" not in location:
            pass
        self.fetch(location)
        return location

    def floor(self, path: str, location: str) -> None:
        """The same with a bare application: an insert, a read, and the bytes."""
        self._call("POST", "/mongodb", 202, _BODY)
        self._call("GET", path, 202)
        self.fetch(location)

    def _call(self, method: str, path: str, status: int | None = None, body: str | None = None) -> str:
        self._api.request(method, path, body, _JSON)
        answer = self._api.getresponse()
        answer.read()
        if answer.status != (status or answer.status) or answer.status not in (202, 303):
            raise load.LoadError(f"HTTP {answer.status} from {method} {path}")
        return answer.getheader("Location") or ""

    def fetch(self, location: str) -> None:
        """Get a tiny result."""
        parts = urlsplit(location)
        if self._s3 is None:
            self._s3 = http.client.HTTPConnection(parts.netloc, timeout=60)
        self._s3.request("GET", f"{parts.path}?{parts.query}")
        answer = self._s3.getresponse()
        if (data := answer.read()) != TINY:
            raise load.LoadError(f"HTTP {answer.status}: {data[:200]!r} instead of the result")


def production_latency(run: Bench) -> list[Figure]:
    """From POST to the last byte of a tiny result, one request after the other."""
    life, bare, place = Life(run.server.port), Life(run.bare.port), f"/mongodb/{_inserted(run)}"
    location = life.complete()
    values: list[float] = []
    floors: list[float] = []
    for _ in range(run.plan.rounds):
        for _ in range(run.plan.sequential // run.plan.rounds):
            floors.append(milliseconds(partial(bare.floor, place, location)))
            values.append(milliseconds(life.complete))
    name, floor = "MongoDB, RabbitMQ, S3: submission to last byte", "insert, read on bare Falcon; S3 GET"
    slowest = [sorted(times)[int(len(times) * 0.95)] for times in (values, floors)]
    return [
        Figure(f"{name}, median", "ms", values, floors, floor, Target(60, 25, at_least=False)),
        Figure(f"{name}, 95th percentile", "ms", slowest[:1], slowest[1:], floor),
    ]


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def production_completed(run: Bench) -> list[Figure]:
    """Whole requests on 16 connections, while all servers and the clients share the cores."""
    place, location = f"/mongodb/{_inserted(run)}", Life(run.server.port).complete()

    def floor(life: Life) -> None:
        life.floor(place, location)

    floors, values = alternate(
        run.plan,
        partial(_together, run, run.bare.port, floor),
        partial(_together, run, run.server.port, Life.complete),
    )
    name = f"MongoDB, RabbitMQ, S3: completed requests, {on(MANY)}"
    return [Figure(name, "/s", values, floors, "insert, read on bare Falcon; S3 GET", Target(100, 300))]


def _together(run: Bench, port: int, work: Callable[[Life], object]) -> float:
    """How often a second `work` is done by as many clients as there are connections."""
    counts = [0] * MANY
    failures: list[Exception] = []
    until = time.perf_counter() + run.plan.seconds

    def repeat(number: int) -> None:
        life = Life(port)
        try:
            while time.perf_counter() < until:
                work(life)
                counts[number] += 1
        except Exception as error:
            failures.append(error)

    started = time.perf_counter()
    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts) / (time.perf_counter() - started)


# -- single calls ------------------------------------------------------------------------------------------


def production_submissions(run: Bench) -> list[Figure]:
    """Durable submissions to a collection that runs nothing."""
    figures = []
    for count in (1, MANY):
        floors, values = alternate(
            run.plan,
            partial(rate, run, run.bare.port, _INSERT, count),
            partial(_submission_rate, run, run.server.port, count),
        )
        name = f"MongoDB: submissions, {on(count)}"
        target = Target(0.5, of_ratio=True)
        figures.append(Figure(name, "/s", values, floors, "bare Falcon, one majority insert", target))
    return figures


def rate(run: Bench, port: int, request: bytes, count: int) -> float:
    """How many such calls are accepted each second, on `count` connections."""
    round_ = run.round()
    return load.rate(port, round_, [load.repeat(round_, request, 202) for _ in range(count)])


def _submission_rate(run: Bench, port: int, count: int) -> float:
    found = rate(run, port, SUBMIT_HELD, count)
    revoke_all(port)
    return found


def revoke_all(port: int) -> None:
    """End all requests that are live."""
    round_ = load.Round(60.0, most=1)
    load.run(port, round_, [load.repeat(round_, _REVOKE_ALL)])


def production_polls(run: Bench) -> list[Figure]:
    """Polls that are not held, of requests that stay live."""
    place = load.message("GET", f"/mongodb/{_inserted(run)}", _AUTH)
    messages = live(run.server.port)
    figures = []
    for count in (1, MANY):
        floors, values = alternate(
            run.plan,
            partial(rate, run, run.bare.port, place, count),
            partial(poll_rate, run, run.server.port, messages, count),
        )
        name = f"MongoDB: polls, {on(count)}"
        target = Target(0.5, of_ratio=True)
        figures.append(Figure(name, "/s", values, floors, "bare Falcon, one indexed read", target))
    revoke_all(run.server.port)
    return figures


def poll_rate(run: Bench, port: int, messages: list[bytes], count: int) -> float:
    """How many polls are answered each second, on `count` connections."""
    return polling.rate(port, run.round(), messages, count)


def live(port: int) -> list[bytes]:
    """Polls of requests that stay live, and are submitted here."""
    return polling.live(port, _AUTH, 100)


def _inserted(run: Bench) -> str:
    """The id of a document that the bare application reads."""
    ids: list[str] = []
    round_ = load.Round(60.0, most=1)

    def insert() -> load.Session:
        ids.append(json.loads(load.check((yield _INSERT), 202).body)["id"])

    load.run(run.bare.port, round_, [insert()])
    return ids[0]


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    production_latency,
    production_submissions,
    production_polls,
    production_completed,
)
