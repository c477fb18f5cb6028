"""A server on MongoDB, RabbitMQ, S3 and Redis with many stored requests, and with large results."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks import load
from benchmarks.figure import Figure, Peaks, Target, alternate, gib
from benchmarks.floor import TINY
from benchmarks.production import (
    MANY,
    SECTIONS,
    STACK,
    SUBMIT_HELD,
    Bench,
    Life,
    live,
    milliseconds,
    poll_rate,
    rate,
    revoke_all,
)
from polytope_server.config import load as load_configuration
from polytope_server.request import Request, Status
from polytope_server.settings import create_backend
from polytope_server.user import User
from testbed.server import StandaloneServer, free_port


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
        lives = Life(empty), Life(filled)
        polls = {port: live(port) for port in (empty, filled)}
        measures: list[tuple[str, Callable[[int], float]]] = [
            ("MongoDB: submissions", lambda port: rate(run, port, SUBMIT_HELD, MANY)),
            ("MongoDB: polls", lambda port: poll_rate(run, port, polls[port], MANY)),
            ("whole requests, one by one", lambda port: _sequential(run, lives[port == filled])),
        ]
        figures = []
        for what, measure in measures:
            floors, values = alternate(run.plan, partial(measure, empty), partial(measure, filled))
            figures.append(Figure(f"{what}, {name}", "/s", values, floors, floor, target))
        for port in (empty, filled):
            revoke_all(port)
    return figures


def _sequential(run: Bench, life: Life) -> float:
    count = max(3, run.plan.sequential // run.plan.rounds // 2)
    times = [milliseconds(life.complete) for _ in range(count)]
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


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (production_full_store, production_memory)
