"""Two broker processes on one store: who leads, with a large backlog, and that no limit is ever exceeded.

`make test` has 20,000 waiting requests, and a few seconds of pauses and kills. `make test-faults` sets
POLYTOPE_FAULTS=full: 300,000 and 1,000,000, and five minutes on each store. Times are printed only.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from brokers import Site, Workers, store_of
from faults import FULL, SEED

from polytope_server.notices import Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.user import User

pytestmark = pytest.mark.unmeasured

BACKLOGS = (300_000, 1_000_000) if FULL else (20_000,)
#: Seconds of pauses, kills and restarts on each store.
DISTURBED = 300.0 if FULL else 5.0
LEASE = 1.0
LIMITS = {"total": 6, "per-user": 2, "per-role": {"test": {"guest": 1}}}
USERS = [
    User(f"user{number}", "test", ("guest",) if number % 3 == 0 else ("default",)) for number in range(8)
]


async def until(condition: Callable[[], Awaitable[object] | object], seconds: float = 600.0) -> None:
    """Return when the condition is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.02)


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def service(request: pytest.FixtureRequest) -> Any:
    return None if request.param == "sqlite" else request.getfixturevalue(request.param)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", BACKLOGS)
@pytest.mark.parametrize("name", ["postgresql", "mongodb"])
async def test_a_large_backlog_does_not_cost_the_lead(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, count: int
) -> None:
    figures = {"store": name, "waiting": f"{count:,}"}
    site = Site(tmp_path, store_of(request.getfixturevalue(name)), logging={"level": "INFO"})
    async with site.opened(), Workers(site).working() as workers:
        await site.fill(count)
        begun = time.monotonic()
        for broker in site.brokers:
            broker.start()
        await until(lambda: _leads(site))
        led = time.monotonic()
        await until(lambda: workers.last)
        figures["lead"] = f"{led - begun:.2f} s after the start of the processes"
        figures["first promotion"] = (
            f"{workers.last - begun:.2f} s after the start, {workers.last - led:.2f} s after the lead"
        )
        holder, term = await site.lease()
        leader = site.broker(holder)
        await until(lambda: _knows_all(site, count - len(workers.done)))
        figures["all known"] = (
            f"{time.monotonic() - led:.1f} s after the lead, {len(workers.done)} completed meanwhile"
        )
        figures["memory of the leader"] = f"{leader.memory()} MiB at the peak"
        assert (holder, term) == (await site.lease())
        assert term == 1

        leader.end(signal.SIGKILL)
        killed = time.monotonic()
        await until(lambda: _leads(site, besides=holder))
        figures["after kill -9: lead"] = f"{time.monotonic() - killed:.2f} s"
        taken_over = time.monotonic()
        await until(lambda: workers.last > taken_over)
        figures["after kill -9: promotion"] = f"{workers.last - killed:.2f} s"
        await until(lambda: _knows_all(site, count - len(workers.done)))
        figures["after kill -9: all known"] = f"{time.monotonic() - taken_over:.1f} s after the lead"
        assert (await site.lease())[1] == 2
        if FULL:
            for broker in site.brokers:
                broker.end(signal.SIGTERM)
            begun = time.monotonic()
            await asyncio.to_thread(site.read_bare)
            figures["floor: the bare driver reads as many"] = f"{time.monotonic() - begun:.1f} s"
    print("\n" + "\n".join(f"{what}: {value}" for what, value in figures.items()))
    assert set(workers.done.values()) == {1}


async def _leads(site: Site, besides: str = "") -> bool:
    holder, _ = await site.lease()
    return holder not in ("", besides)


async def _knows_all(site: Site, left: int) -> bool:
    """Whether the broker that leads knows those to wait that are left, but for what is active.

    The store is not asked: to count a million takes it longer than anything that is measured here.
    """
    known = [await asyncio.to_thread(broker.known_to_wait) for broker in site.brokers if broker.alive()]
    return max((found for found in known if found is not None), default=0) >= left - 50


@pytest.mark.timeout(1800)
async def test_no_limit_is_ever_exceeded(service: Any, tmp_path: Path) -> None:
    """While two brokers are paused, killed and started at random, requests come, and some are revoked."""
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    site = Site(
        tmp_path,
        store_of(service),
        broker={"lease": LEASE, "interval": 1},
        deployment={"worker": {"replicas": 8}},
        collections={
            name: {"roles": {"test": ["default", "guest"]}, "datasources": ["echo"], "limits": LIMITS}
            for name in ("echo", "dummy")
        },
    )
    chance = random.Random(SEED)
    async with site.opened(), Workers(site, work=0.05).working() as workers:
        for broker in site.brokers:
            broker.start()
        most: Counter[str] = Counter()
        observing = asyncio.create_task(_observe(site, most))
        submitting = asyncio.create_task(_submit(site, random.Random(SEED + 1)))
        await until(lambda: workers.done)
        end = time.monotonic() + DISTURBED
        while time.monotonic() < end:
            await _disturb(site, chance)
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        for broker in site.brokers:  # the end is quiet: whatever still waits has its turn
            if not broker.alive():
                broker.start()
        await until(lambda: _nothing_is_live(site))
        observing.cancel()
        (found,) = await asyncio.gather(observing, return_exceptions=True)
        assert isinstance(found, asyncio.CancelledError), found
        _, term = await site.lease()
        print(f"{len(workers.done)} completed in {term} terms; at most active at a time: {dict(most)}")
        assert set(workers.done.values()) == {1}


async def _disturb(site: Site, chance: random.Random) -> None:
    broker = chance.choice(site.brokers)
    if not broker.alive():
        broker.start()
    elif chance.random() < 0.6:
        broker.send(signal.SIGSTOP)
        await asyncio.sleep(chance.random() * 3 * LEASE)
        broker.send(signal.SIGCONT)
    else:
        await asyncio.to_thread(broker.end, chance.choice([signal.SIGKILL, signal.SIGTERM]))
    await asyncio.sleep(chance.random() * LEASE)


async def _submit(site: Site, chance: random.Random) -> None:
    """Submit a little more than can run; some notices are lost, and some requests are revoked."""
    while True:
        user, collection = chance.choice(USERS), chance.choice(["echo", "dummy"])
        made = Request(user, collection, user_request="x", coerced_request={"data": "x"}, datasource="echo")
        with suppress(StoreUnavailableError):
            await site.store.add(made)
            if chance.random() < 0.9:
                site.notices.publish(Topic.WAITING, made.id)
            if chance.random() < 0.1 and await site.store.remove(made.id, statuses=[Status.WAITING]):
                site.notices.publish(Topic.REMOVED, made.id)
            waiting = await site.store.count(statuses=[Status.WAITING])
            await asyncio.sleep(0.01 if waiting < 100 else 0.2)


async def _observe(site: Site, most: Counter[str]) -> None:
    """Look at what is active again and again. Ends with an AssertionError where it is more than may be."""
    while True:
        active = await site.snapshot()
        total = Counter(summary.collection for summary in active)
        most |= total
        users = Counter((summary.collection, summary.user_id) for summary in active)
        users_limits = {user.id: site.collections["echo"].limits.of_user(user) for user in USERS}
        assert max(total.values(), default=0) <= LIMITS["total"], total  # type: ignore[operator]
        for (collection, user_id), number in users.items():
            limit = users_limits[user_id]
            assert limit is not None
            assert number <= limit, (collection, user_id, number)
        await asyncio.sleep(0.005)


async def _nothing_is_live(site: Site) -> bool:
    live = [Status.WAITING, Status.QUEUED, Status.PROCESSING]
    return await site.store.count(statuses=live) == 0
