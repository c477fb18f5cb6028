"""A worker's leases: what was claimed without an answer is found, what cannot be renewed is tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.request import Request, Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.testing.request_store import claimed, make, queue
from polytope_server.worker.leases import Claim, Leases

LEASE = 15.0


class FailingStore(MemoryRequestStore):
    """Calls fail as often as `failures` says, by name; those in `silent` are done all the same."""

    def __init__(self) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path())
        self.failures: dict[str, int] = {}
        self.silent: set[str] = set()
        self.calls: list[str] = []

    async def _fail(self, name: str, call: Any) -> Any:
        self.calls.append(name)
        fails = self.failures.get(name, 0) > 0
        if fails:
            self.failures[name] -= 1
        done = None if fails and name not in self.silent else await call
        if fails:
            call.close()
            raise StoreUnavailableError("out of order")
        return done

    async def claim(self, *arguments: Any) -> list[Request]:
        return await self._fail("claim", super().claim(*arguments))  # type: ignore[no-any-return]

    async def renew(self, *arguments: Any) -> set[str]:
        return await self._fail("renew", super().renew(*arguments))  # type: ignore[no-any-return]

    async def get(self, request_id: str) -> Request | None:
        return await self._fail("get", super().get(request_id))  # type: ignore[no-any-return]


class Site:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = FailingStore()
        self.running: set[Claim] = set()
        self.lost: list[Claim] = []
        self.pauses: list[float] = []
        self.monotonic = 0.0
        self.given_back: list[str] = []
        self.leases = Leases(
            *(self.store, "w", LEASE),
            running=lambda: set(self.running),
            lost=self.lost.append,
            given_back=self.given_back.append,
        )
        fake = SimpleNamespace(sleep=self._sleep)
        monkeypatch.setattr("polytope_server.worker.leases.asyncio", fake)
        clock = SimpleNamespace(monotonic=lambda: self.monotonic)
        monkeypatch.setattr("polytope_server.worker.leases.time", clock)
        self._rounds = 0

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.monotonic += seconds
        if self._rounds and len(self.pauses) > self._rounds:
            raise asyncio.CancelledError

    async def queued(self) -> str:
        request = make()
        await self.store.add(request)
        await queue(self.store, request)
        return request.id

    async def keep(self, rounds: int) -> None:
        self.pauses.clear()
        self._rounds = rounds
        with pytest.raises(asyncio.CancelledError):
            await self.leases.keep()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


async def test_a_claim_that_was_made_without_an_answer_is_ours(site: Site) -> None:
    site.store.failures, site.store.silent = {"claim": 2}, {"claim"}
    found = await site.leases.claim(await site.queued())
    assert found is not None
    assert (found.status, found.worker, found.attempt) == (Status.PROCESSING, "w", 1)


async def test_a_claim_that_was_not_made_is_made_when_the_store_is_back(site: Site) -> None:
    site.store.failures = {"claim": 3}
    found = await site.leases.claim(await site.queued())
    assert found is not None
    assert found.attempt == 1
    assert site.pauses == [0.1, 0.2, 0.4]


async def test_the_question_whose_it_is_is_repeated_too(site: Site) -> None:
    site.store.failures, site.store.silent = {"claim": 1, "get": 2}, {"claim"}
    assert await site.leases.claim(await site.queued()) is not None


async def test_what_another_worker_claimed_meanwhile_is_not_ours(site: Site) -> None:
    request_id = await site.queued()
    await site.store.claim([request_id], "another", LEASE)
    site.store.failures = {"claim": 1}
    assert await site.leases.claim(request_id) is None


async def test_what_this_worker_works_on_already_is_not_taken_up_again(site: Site) -> None:
    request_id = await site.queued()
    await site.store.claim([request_id], "w", LEASE)
    site.running.add((request_id, 1))
    site.store.failures = {"claim": 1}
    assert await site.leases.claim(request_id) is None


async def test_a_duplicate_message_costs_no_question(site: Site) -> None:
    request_id = await site.queued()
    await site.store.claim([request_id], "another", LEASE)
    site.store.calls.clear()
    assert await site.leases.claim(request_id) is None
    assert site.store.calls == ["claim"]


async def test_a_claim_without_an_answer_for_a_whole_lease_is_given_back_at_no_cost(site: Site) -> None:
    request_id = await site.queued()
    site.store.failures, site.store.silent = {"claim": 1000}, {"claim"}
    with pytest.raises(StoreUnavailableError):
        await site.leases.claim(request_id)
    assert site.monotonic <= LEASE
    await site.keep(1)
    found = await site.store.get(request_id)
    assert found is not None
    assert (found.status, found.failures, found.lost_leases) == (Status.QUEUED, 0, 0)
    assert site.given_back == [request_id]


async def test_what_a_further_message_claims_is_not_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = await site.queued()
    site.store.failures = {"claim": 1000}
    with pytest.raises(StoreUnavailableError):
        await site.leases.claim(request_id)
    site.store.failures = {}
    get = site.store.get

    async def meanwhile(wanted: str) -> Request | None:
        assert await site.leases.claim(wanted) is not None
        return await get(wanted)

    monkeypatch.setattr(site.store, "get", meanwhile)
    await site.keep(1)
    found = await get(request_id)
    assert found is not None
    assert (found.status, found.worker) == (Status.PROCESSING, "w")


async def test_a_renewal_that_failed_is_repeated_at_once_and_then_less_often(site: Site) -> None:
    request = await claimed(site.store, lease=LEASE)
    site.running.add((request.id, 1))
    site.store.failures = {"renew": 6}
    await site.keep(8)
    assert site.pauses == [5.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 5.0, 5.0]
    assert site.lost == []


async def test_an_attempt_is_given_up_only_when_the_store_says_that_it_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, lost = await claimed(site.store), await claimed(site.store)
    site.running |= {(held.id, 1), (lost.id, 1), ("removed", 1)}
    await site.store.transition(lost.id, Status.PROCESSING, 1, Status.QUEUED)

    async def forgetful(*_: Any) -> set[str]:
        return set()

    monkeypatch.setattr(site.store, "renew", forgetful)
    site.store.failures = {"get": 1}
    await site.keep(2)
    assert sorted(set(site.lost)) == sorted({(lost.id, 1), ("removed", 1)})
