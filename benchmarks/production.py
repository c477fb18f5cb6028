"""The figures of a server on MongoDB, RabbitMQ, S3 and Redis, which share the cores of this machine."""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks import load, polling
from benchmarks.figure import Figure, Peaks, Plan, Target, alternate, gib, on
from benchmarks.floor import TINY, BareServer
from polytope_server.config import create_backend
from polytope_server.config import load as load_configuration
from polytope_server.request import Request, Status
from polytope_server.testing.server import CONFIG, PASSWORD, USER, StandaloneServer, basic, free_port
from polytope_server.testing.services import S3, MongoDB, RabbitMQ, Redis
from polytope_server.user import User

FILES = Path(__file__).parent.parent / "polytope-deployment" / "config"
STACK = FILES / "mongodb-rabbitmq-s3-redis.yaml"
_API = "/api/v1"
_MANY = 16
_AUTH = basic(USER, PASSWORD)
_JSON = {**_AUTH, "Content-Type": "application/json"}
_BODY = json.dumps({"verb": "retrieve", "request": TINY.decode()})
_HELD_BODY = {"verb": "retrieve", "request": "a: 1"}
_SUBMIT_HELD = polling.submission(_AUTH)
_REVOKE_ALL = load.message("DELETE", f"{_API}/requests/all", _AUTH)
_INSERT = load.message("POST", "/mongodb", _AUTH, _HELD_BODY)
SECTIONS: dict[str, Any] = {
    "collections": {
        **CONFIG["collections"],
        polling.HELD: {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
    }
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
        _Life(server.port).complete()
        yield run


# -- whole requests ----------------------------------------------------------------------------------------


class _Life:
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
    life, bare, place = _Life(run.server.port), _Life(run.bare.port), f"/mongodb/{_inserted(run)}"
    location = life.complete()
    values: list[float] = []
    floors: list[float] = []
    for _ in range(run.plan.rounds):
        for _ in range(run.plan.sequential // run.plan.rounds):
            floors.append(_milliseconds(partial(bare.floor, place, location)))
            values.append(_milliseconds(life.complete))
    name, floor = "MongoDB, RabbitMQ, S3: submission to last byte", "insert, read on bare Falcon; S3 GET"
    slowest = [sorted(times)[int(len(times) * 0.95)] for times in (values, floors)]
    return [
        Figure(f"{name}, median", "ms", values, floors, floor, Target(60, 25, at_least=False)),
        Figure(f"{name}, 95th percentile", "ms", slowest[:1], slowest[1:], floor),
    ]


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def production_completed(run: Bench) -> list[Figure]:
    """Whole requests on 16 connections, while all servers and the clients share the cores."""
    place, location = f"/mongodb/{_inserted(run)}", _Life(run.server.port).complete()

    def floor(life: _Life) -> None:
        life.floor(place, location)

    floors, values = alternate(
        run.plan,
        partial(_together, run, run.bare.port, floor),
        partial(_together, run, run.server.port, _Life.complete),
    )
    name = f"MongoDB, RabbitMQ, S3: completed requests, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "insert, read on bare Falcon; S3 GET", Target(100, 300))]


def _together(run: Bench, port: int, work: Callable[[_Life], object]) -> float:
    """How often a second `work` is done by as many clients as there are connections."""
    counts = [0] * _MANY
    failures: list[Exception] = []
    until = time.perf_counter() + run.plan.seconds

    def repeat(number: int) -> None:
        life = _Life(port)
        try:
            while time.perf_counter() < until:
                work(life)
                counts[number] += 1
        except Exception as error:
            failures.append(error)

    started = time.perf_counter()
    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(_MANY)]
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
    for count in (1, _MANY):
        floors, values = alternate(
            run.plan,
            partial(_rate, run, run.bare.port, _INSERT, count),
            partial(_submission_rate, run, run.server.port, count),
        )
        name = f"MongoDB: submissions, {on(count)}"
        target = Target(0.5, of_ratio=True)
        figures.append(Figure(name, "/s", values, floors, "bare Falcon, one majority insert", target))
    return figures


def _rate(run: Bench, port: int, request: bytes, count: int) -> float:
    round_ = run.round()
    return load.rate(port, round_, [load.repeat(round_, request, 202) for _ in range(count)])


def _submission_rate(run: Bench, port: int, count: int) -> float:
    rate = _rate(run, port, _SUBMIT_HELD, count)
    _revoke_all(port)
    return rate


def _revoke_all(port: int) -> None:
    round_ = load.Round(60.0, most=1)
    load.run(port, round_, [load.repeat(round_, _REVOKE_ALL)])


def production_polls(run: Bench) -> list[Figure]:
    """Polls that are not held, of requests that stay live."""
    place = load.message("GET", f"/mongodb/{_inserted(run)}", _AUTH)
    messages = _live(run.server.port)
    figures = []
    for count in (1, _MANY):
        floors, values = alternate(
            run.plan,
            partial(_rate, run, run.bare.port, place, count),
            partial(_poll_rate, run, run.server.port, messages, count),
        )
        name = f"MongoDB: polls, {on(count)}"
        target = Target(0.5, of_ratio=True)
        figures.append(Figure(name, "/s", values, floors, "bare Falcon, one indexed read", target))
    _revoke_all(run.server.port)
    return figures


def _poll_rate(run: Bench, port: int, messages: list[bytes], count: int) -> float:
    return polling.rate(port, run.round(), messages, count)


def _live(port: int) -> list[bytes]:
    return polling.live(port, _AUTH, 100)


def _inserted(run: Bench) -> str:
    """The id of a document that the bare application reads."""
    ids: list[str] = []
    round_ = load.Round(60.0, most=1)

    def insert() -> load.Session:
        ids.append(json.loads(load.check((yield _INSERT), 202).body)["id"])

    load.run(run.bare.port, round_, [insert()])
    return ids[0]


# -- a full store ------------------------------------------------------------------------------------------


def production_full_store(run: Bench) -> list[Figure]:
    """The same calls to a server whose collection holds many requests, in turn with the one that is empty."""
    sections = {
        **SECTIONS,
        "request_store": {"mongodb": {"collection": "full"}},
        "queue": {"rabbitmq": {"name": "full"}},
    }
    with StandaloneServer(run.folder / "full", sections, [STACK], run.variables) as full:
        asyncio.run(_fill(full, run.plan.stored))
        name, floor = f"with {run.plan.stored:,} stored requests", "the same, empty store"
        target = Target(0.8, of_ratio=True)
        empty, filled = run.server.port, full.port
        lives = _Life(empty), _Life(filled)
        live = {port: _live(port) for port in (empty, filled)}
        measures: list[tuple[str, Callable[[int], float]]] = [
            ("MongoDB: submissions", lambda port: _rate(run, port, _SUBMIT_HELD, _MANY)),
            ("MongoDB: polls", lambda port: _poll_rate(run, port, live[port], _MANY)),
            ("whole requests, one by one", lambda port: _sequential(run, lives[port == filled])),
        ]
        figures = []
        for what, measure in measures:
            floors, values = alternate(run.plan, partial(measure, empty), partial(measure, filled))
            figures.append(Figure(f"{what}, {name}", "/s", values, floors, floor, target))
        for port in (empty, filled):
            _revoke_all(port)
    return figures


def _sequential(run: Bench, life: _Life) -> float:
    count = max(3, run.plan.sequential // run.plan.rounds // 2)
    times = [_milliseconds(life.complete) for _ in range(count)]
    return 1e3 / statistics.median(times)


async def _fill(server: StandaloneServer, count: int) -> None:
    """Requests of many users that have ended, as a busy site has them."""
    configuration = load_configuration(server.files, environ=server.environment)
    store = create_backend("request_store", configuration.settings.request_store, server.data)
    await store.open()
    statuses = [Status.PROCESSED, Status.FAILED]
    limit = asyncio.Semaphore(64)

    async def add(number: int) -> None:
        user = User(f"user{number % 1000}", "test")
        status = statuses[number % 20 == 0]
        request = Request(user, "echo", user_request=TINY.decode(), status=status, datasource="echo")
        async with limit:
            await store.add(request)

    for start in range(0, count, 5000):
        await asyncio.gather(*(add(number) for number in range(start, min(count, start + 5000))))
    await store.close()


# -- large results -----------------------------------------------------------------------------------------


def production_memory(run: Bench) -> list[Figure]:
    """Growth of the peak memory of every process while a large result is made and fetched."""
    variables = run.variables | {
        "OBJECT_STORE_HOST": load.HOST,
        "OBJECT_STORE_PORT": str(free_port()),
        "OBJECT_STORE_TOKEN": uuid4().hex,
    }
    staging = {
        "polytope": {
            "host": load.HOST,
            "port": variables["OBJECT_STORE_PORT"],
            "token": variables["OBJECT_STORE_TOKEN"],
        }
    }
    with StandaloneServer(run.folder / "store", {**SECTIONS, "staging": staging}) as server:
        return [*_growth(run, "S3", run.server), *_growth(run, "object store", server)]


def _growth(run: Bench, name: str, server: StandaloneServer) -> list[Figure]:
    session, size = server.session(), run.plan.huge
    server.poll(session, server.submit(session, "dummy", 20 << 20))
    peaks = Peaks(server.all_processes())
    started = time.perf_counter()
    request_id = server.submit(session, "dummy", size)
    answer = server.poll(session, request_id, 600)
    seconds = time.perf_counter() - started
    location = server.link(answer)
    parts = urlsplit(location)
    received, flowing = load.download(int(parts.port or 80), f"{parts.path}?{parts.query}")
    if received != size:
        raise load.LoadError(f"{received} bytes came instead of {size}")
    growth = peaks.growth()
    session.delete(f"{server.url}/requests/{request_id}", timeout=60)
    title, target = f"{name}: {gib(size)} result", Target(64, at_least=False)
    return [
        Figure(f"{title}: growth of memory", "MiB", [growth], [], "none", target),
        Figure(f"{title}: made and staged", "MB/s", [size / seconds / 1e6], [], "none"),
        Figure(f"{title}: to the client", "MB/s", [size / flowing / 1e6], [], "none"),
    ]


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    production_latency,
    production_submissions,
    production_polls,
    production_completed,
    production_full_store,
    production_memory,
)
