"""Limits at the door, on each cache, with two frontends that share it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from testbed.frontend import Frontend, frontend
from testbed.services import Memcached, Redis, Service

# A connection that the driver gives up while it is made is closed by the garbage collection only.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

#: So few on average that none comes back while a test runs.
LIMITS = {"calls-per-second": 0.1, "burst": 20, "per-user": 3, "total": 5}


def caching_on(service: Any) -> dict[str, Any]:
    if isinstance(service, Redis):
        return {"redis": {"host": service.host, "port": service.port, "password": service.password}}
    if isinstance(service, Memcached):
        return {"memcached": {"host": service.host, "port": service.port}}
    return {"mongodb": {"uri": service.uri, "database": "limits"}}


@pytest.fixture(params=["redis_server", "memcached", "mongodb"])
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def two(service: Service, tmp_path: Path) -> AsyncIterator[list[Frontend]]:
    # Of its own in each test: the users have the same ids in all of them.
    name = tmp_path.name.replace("[", "-").replace("]", "")[-60:]
    caching = caching_on(service)
    next(iter(caching.values()))["prefix"] = name
    sections = {"caching": caching, "frontend": {"limits": LIMITS}}
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(frontend(tmp_path, sections)) for _ in range(2)]


async def test_calls_to_two_frontends_are_counted_together(two: list[Frontend]) -> None:
    answers = []
    for number in range(30):
        answers.append(await two[number % 2].call("GET", "/collections"))
    statuses = [answer.status for answer in answers]
    # A window that began in between may let one more in.
    assert statuses[:20] == [200] * 20
    assert Counter(statuses)[429] >= 9
    assert (await two[0].call("GET", "/collections", user="bob")).status == 200


async def test_what_is_refused_does_not_count(two: list[Frontend]) -> None:
    answers = [await two[number % 2].call("GET", "/collections") for number in range(45)]
    waits = [int(answer.headers["retry-after"]) for answer in answers if answer.status == 429]
    assert len(waits) >= 24
    assert waits == sorted(waits, reverse=True)


async def test_live_requests_are_counted_together(two: list[Frontend]) -> None:
    statuses = [(await two[number % 2].submit()).status for number in range(4)]
    assert statuses == [202, 202, 202, 429]
    statuses = [(await two[number % 2].submit(user="bob")).status for number in range(3)]
    assert statuses == [202, 202, 429]


async def test_submissions_at_the_same_moment(two: list[Frontend]) -> None:
    answers = await asyncio.gather(*(two[0].submit() for _ in range(10)))
    assert Counter(answer.status for answer in answers) == {202: 3, 429: 7}


async def test_while_the_cache_is_down_calls_are_let_in(
    tmp_path: Path, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis(tmp_path) as own:
        sections = {"caching": caching_on(own), "frontend": {"limits": {**LIMITS, "burst": 2}}}
        async with frontend(tmp_path, sections) as one:
            statuses = [(await one.call("GET", "/collections")).status for _ in range(3)]
            assert statuses == [200, 200, 429]
            own.kill()
            answers = [await one.call("GET", "/collections") for _ in range(10)]
            assert [answer.status for answer in answers] == [200] * 10
            # Those that are counted in the store are not affected.
            statuses = [(await one.submit()).status for _ in range(4)]
            assert statuses == [202, 202, 202, 429]
    assert sum("nothing is cached or limited" in message for message in caplog.messages) == 1
