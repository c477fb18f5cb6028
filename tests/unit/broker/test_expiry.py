"""Leases are ended by the clock of the store, and not before every worker could renew."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.broker.expiry import Expiry
from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.request import Request, Status
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.settings.processes import WorkerSettings
from polytope_server.testing.request_store import claimed

LEASE = 15.0


class Clocks:
    """The clock of the store, and the monotonic one of this process; time passes for both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.monotonic = 5000.0, 100.0
        fake = SimpleNamespace(monotonic=lambda: self.monotonic, time=lambda: 1e9)
        monkeypatch.setattr("polytope_server.broker.expiry.time", fake)
        monkeypatch.setattr("polytope_server.request_store.clock.time", fake)

    def advance(self, seconds: float) -> None:
        self.store += seconds
        self.monotonic += seconds


class SlowStore(MemoryRequestStore):
    """A store whose answer to the question which leases have ended comes late."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path(), clock=lambda: clocks.store)
        self._clocks = clocks
        self.seconds = 0.0
        #: Called before the answer is given.
        self.meanwhile: Callable[[], Any] | None = None

    async def expired(self, limit: int) -> list[Request]:
        self._clocks.advance(self.seconds)
        found = await super().expired(limit)
        if self.meanwhile is not None:
            await self.meanwhile()
        return found


class Site:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clocks = Clocks(monkeypatch)
        self.store = SlowStore(self.clocks)
        self.requeued: list[str] = []
        self.failed: list[str] = []
        settings = WorkerSettings(lease=LEASE, max_lost_leases=2)
        notices: Any = SimpleNamespace(publish=lambda *_: None)
        self.expiry = Expiry(
            *(self.store, notices, BrokerMetrics(["c"]), settings),
            requeued=self.requeued.append,
            failed=self.failed.append,
        )

    async def claim(self) -> Request:
        return await claimed(self.store, lease=LEASE)

    async def run(self) -> None:
        self.clocks.advance(1)
        await self.expiry.run()

    async def renew(self, requests: Collection[Request]) -> None:
        claims = {(request.id, request.attempt) for request in requests}
        assert len(await self.store.renew(claims, "w", LEASE)) == len(requests)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


async def test_a_lease_that_has_ended_goes_back_to_the_queue_and_is_no_failure(site: Site) -> None:
    request = await site.claim()
    await site.run()
    assert site.requeued == []
    site.clocks.advance(LEASE)
    await site.run()
    assert site.requeued == [request.id]
    found = await site.store.get(request.id)
    assert found is not None
    assert (found.status, found.failures, found.lost_leases) == (Status.QUEUED, 0, 1)


async def test_a_request_that_lost_its_workers_too_often_fails(site: Site) -> None:
    request = await site.claim()
    site.clocks.advance(LEASE)
    await site.run()
    await site.store.claim([request.id], "w", LEASE)
    site.clocks.advance(LEASE)
    await site.run()
    assert (site.requeued, site.failed) == ([request.id], [request.id])


async def test_after_an_outage_workers_get_a_lease_to_renew(site: Site) -> None:
    renewing, dead = await site.claim(), await site.claim()
    site.clocks.advance(LEASE + 5)
    site.expiry.hold()
    await site.run()
    assert site.requeued == []
    await site.renew([renewing])
    site.clocks.advance(LEASE - 2.5)
    await site.run()
    assert site.requeued == []
    await site.renew([renewing])
    await site.run()
    assert site.requeued == [dead.id]


async def test_a_renewal_that_comes_just_in_time_counts(site: Site) -> None:
    request = await site.claim()
    site.clocks.advance(LEASE)
    site.store.meanwhile = lambda: site.renew([request])
    await site.run()
    found = await site.store.get(request.id)
    assert found is not None
    assert (found.status, found.attempt, site.requeued) == (Status.PROCESSING, 1, [])


async def test_an_answer_that_took_long_is_an_outage(site: Site) -> None:
    """The store stood still, and answers now what it was asked before; workers wait for it likewise."""
    await site.claim()
    site.store.seconds = LEASE + 1
    await site.run()
    site.store.seconds = 0
    await site.run()
    assert site.requeued == []
    site.clocks.advance(LEASE)
    await site.run()
    assert len(site.requeued) == 1


async def test_a_store_that_is_always_slow_does_not_keep_leases_for_ever(site: Site) -> None:
    await site.claim()
    site.store.seconds = LEASE / 2
    for _ in range(20):
        await site.run()
    assert len(site.requeued) == 1


async def test_a_clock_of_the_store_that_jumps_ends_no_lease(site: Site) -> None:
    """It was set, the machine was suspended, or another server of the database leads."""
    await site.store.local_clock.measure()
    request = await site.claim()
    site.clocks.store += 1000
    await site.run()
    await site.run()
    assert site.requeued == []
    await site.renew([request])
    site.clocks.advance(LEASE - 1)
    await site.run()
    assert site.requeued == []


async def test_a_jump_that_somebody_else_has_noticed_counts_too(site: Site) -> None:
    await site.store.local_clock.measure()
    await site.claim()
    site.clocks.store += 1000
    await site.store.local_clock.measure()
    await site.run()
    assert site.requeued == []


async def test_one_look_ends_a_bounded_number_of_leases(site: Site) -> None:
    for _ in range(130):
        await site.claim()
    site.clocks.advance(LEASE)
    await site.run()
    assert len(site.requeued) == 100
    await site.run()
    assert len(site.requeued) == 130


async def test_an_outage_during_a_look_breaks_it_off(site: Site) -> None:
    for _ in range(3):
        await site.claim()
    site.clocks.advance(LEASE)
    expire = site.store.expire

    async def interrupted(*arguments: Any, **changes: Any) -> Request | None:
        site.expiry.hold()
        return await expire(*arguments, **changes)

    site.store.expire = interrupted  # type: ignore[method-assign]
    await site.run()
    assert len(site.requeued) == 1
