"""A promotion without an answer may still take place: until then no other is made, no lead given back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from polytope_server.broker.promotion import Promotion
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings

LEASE = 10.0


class Store(MemoryRequestStore):
    """A store that may be away, or hold its answers back."""

    def __init__(self) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path())
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def promote(self, request_ids: object, leader: str, term: int) -> set[str]:
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise StoreUnavailableError("away")
        return {"r"}

    async def check(self) -> None:
        if self.away:
            raise StoreUnavailableError("away")


class Site:
    def __init__(self, lease: float = LEASE) -> None:
        self.store = Store()
        self.now = 0.0
        self.promotion = Promotion(self.store, "b", lease, lambda: self.now)


async def test_with_an_answer_all_is_settled() -> None:
    site = Site()
    assert await site.promotion.promote(["r"], 1) == {"r"}
    assert site.promotion.settled


async def test_without_an_answer_nothing_is_settled_until_a_lease_after_the_store_is_back() -> None:
    site = Site()
    site.store.away = True
    with pytest.raises(StoreUnavailableError):
        await site.promotion.promote(["r"], 1)
    site.now = 1e9
    assert not site.promotion.settled
    with pytest.raises(StoreUnavailableError):
        await site.promotion.settle()
    site.store.away = False
    await site.promotion.settle()
    site.now += LEASE - 1
    await site.promotion.settle()  # counts from its first answer
    assert not site.promotion.settled
    site.now += 1
    assert site.promotion.settled


async def test_a_store_works_on_a_statement_for_6_s_at_most_however_short_the_lease() -> None:
    site = Site(lease=0.1)
    site.store.away = True
    with pytest.raises(StoreUnavailableError):
        await site.promotion.promote(["r"], 1)
    site.store.away = False
    await site.promotion.settle()
    site.now = 5.9
    assert not site.promotion.settled
    site.now = 6.0
    assert site.promotion.settled


async def test_a_promotion_that_is_cancelled_has_got_no_answer() -> None:
    site = Site()
    site.store.answers.clear()
    promoting = asyncio.create_task(site.promotion.promote(["r"], 1))
    await asyncio.sleep(0)
    promoting.cancel()
    await asyncio.gather(promoting, return_exceptions=True)
    assert not site.promotion.settled


async def test_to_stop_waits_for_the_promotion_under_way_and_makes_no_other() -> None:
    site = Site()
    site.store.answers.clear()
    promoting = asyncio.create_task(site.promotion.promote(["r"], 1))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(site.promotion.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    site.store.answers.set()
    await stopping
    assert await promoting == {"r"}
    assert await site.promotion.promote(["r"], 1) is None
    assert site.store.asked == 1


async def test_to_stop_waits_no_longer_than_a_lease() -> None:
    site = Site(lease=0.01)
    site.store.answers.clear()
    promoting = asyncio.create_task(site.promotion.promote(["r"], 1))
    await asyncio.sleep(0)
    await site.promotion.stop()
    promoting.cancel()
    await asyncio.gather(promoting, return_exceptions=True)
