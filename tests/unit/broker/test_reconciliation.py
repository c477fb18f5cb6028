"""What the broker knows of waiting requests, compared with the store: what is read, and what is not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from polytope_server.broker import reconciliation
from polytope_server.broker.reconciliation import Reconciliation
from polytope_server.broker.schedule import Schedule
from polytope_server.collection import Collection
from polytope_server.request import Request, Status
from polytope_server.request_store import Digest, RequestSummary, StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.user import User

SLICE = 50


class CountingStore(MemoryRequestStore):
    """A store that counts what it is asked for, and may be away."""

    def __init__(self) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path())
        self.read = self.digests = self.outages = 0

    async def waiting(self, after: int, until: int | None, limit: int) -> list[RequestSummary]:
        self._answer()
        found = await super().waiting(after, until, limit)
        self.read += len(found)
        return found

    async def digest(self, after: int, until: int, limit: int) -> Digest:
        self._answer()
        self.digests += 1
        return Digest.of([summary.sequence for summary in await super().waiting(after, until, limit)])

    def ids(self) -> set[str]:
        return set(self._requests)

    def give_all_the_sequence(self, sequence: int) -> None:
        self._sequences = dict.fromkeys(self._requests, sequence)

    def _answer(self) -> None:
        if self.outages:
            self.outages -= 1
            raise StoreUnavailableError("away")


class Site:
    """A store, a schedule, and what makes them agree."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.schedule = Schedule({"c": Collection("c", ())})
        self.reconciliation = Reconciliation(self.schedule, self.store, self.schedule.update)

    async def add(self, count: int) -> list[str]:
        requests = [Request(User(f"u{number % 7}", "r"), "c") for number in range(count)]
        for request in requests:
            await self.store.add(request)
        return [request.id for request in requests]

    async def a_pass(self) -> int:
        """One pass; returns how many requests were read."""
        self.store.read = 0
        self.reconciliation.start()
        while self.reconciliation.running:
            await self.reconciliation.step()
        assert {summary.id for summary in self.schedule.waiting(0, None)} == self.store.ids()
        return self.store.read


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(reconciliation, "SLICE", SLICE)
    monkeypatch.setattr(reconciliation, "_RANGE", 160)
    monkeypatch.setattr(reconciliation, "_SMALL", 10)
    return Site()


async def test_the_first_slice_is_known_after_the_first_step(site: Site) -> None:
    await site.add(3 * SLICE)
    site.reconciliation.start()
    await site.reconciliation.step()
    await site.reconciliation.step()
    assert site.schedule.count(Status.WAITING) == SLICE


async def test_a_pass_reads_nothing_that_is_known(site: Site) -> None:
    ids = await site.add(400)
    assert await site.a_pass() == 400
    assert await site.a_pass() == 0
    for request_id in ids[::10]:  # as some notices say
        await site.store.remove(request_id)
        site.schedule.remove(request_id)
    new = await site.add(5)
    site.schedule.update(await site.store.summaries([Status.WAITING], new))
    assert await site.a_pass() == 0


async def test_of_what_was_added_without_a_notice_only_that_is_read(site: Site) -> None:
    await site.add(400)
    await site.a_pass()
    await site.add(7)
    assert await site.a_pass() == 7


async def test_one_lost_submission_and_one_lost_removal_do_not_hide_each_other(site: Site) -> None:
    ids = await site.add(400)
    await site.a_pass()
    site.schedule.remove(ids[100])
    await site.store.remove(ids[300])
    assert site.schedule.count(Status.WAITING) == await site.store.count()
    assert await site.a_pass() <= 20


async def test_an_exchange_of_neighbours_is_noticed(site: Site) -> None:
    """Count and sum agree: 2 + 3 = 1 + 4."""
    ids = await site.add(4)
    await site.a_pass()
    for request_id in (ids[1], ids[2]):
        site.schedule.remove(request_id)
    for request_id in (ids[0], ids[3]):
        await site.store.remove(request_id)
    await site.a_pass()


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_was_lost_is_found(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        await site.add(chance.randrange(90))
        if chance.random() < 0.5:
            await site.a_pass()
        for request_id in sorted(site.store.ids()):
            step = chance.random()
            if step < 0.02:
                await site.store.remove(request_id)
            elif step < 0.04:
                site.schedule.remove(request_id)
    await site.a_pass()


async def test_requests_that_all_have_one_sequence_are_read(site: Site) -> None:
    ids = await site.add(100)
    await site.a_pass()
    site.store.give_all_the_sequence(5)
    for request_id in ids:
        site.schedule.remove(request_id)
    site.schedule.update(await site.store.summaries([Status.WAITING], ids))
    await site.store.remove(ids[0])
    site.reconciliation.start()
    while site.reconciliation.running and site.store.digests < 50:
        await site.reconciliation.step()
    assert site.store.digests < 50


async def test_a_pass_that_begins_anew_reads_on_where_the_last_one_was(site: Site) -> None:
    """As when a broker loses its lead, and has it again."""
    ids = await site.add(10 * SLICE)
    site.reconciliation.start()
    while site.schedule.count(Status.WAITING) < 6 * SLICE:
        await site.reconciliation.step()
    for request_id in ids[: 2 * SLICE]:  # another broker led meanwhile
        await site.store.remove(request_id)
    assert await site.a_pass() == 4 * SLICE


async def test_an_outage_is_gone_on_after(site: Site) -> None:
    await site.add(100)
    site.reconciliation.start()
    failures = 0
    while site.reconciliation.running:
        site.store.outages = 1
        try:
            await site.reconciliation.step()
        except StoreUnavailableError:
            failures += 1
            await site.reconciliation.step()
        site.store.outages = 0
    assert failures == 3
    assert site.store.read == 100
    assert await site.a_pass() == 0
