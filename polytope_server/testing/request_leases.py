"""What every request store promises about leases and leads: a part of the contract of request stores."""

from __future__ import annotations

import asyncio
import time

import pytest

from polytope_server.request import IllegalTransitionError, Status
from polytope_server.request_store import RequestStore
from polytope_server.testing.requests import ROUNDED, claimed, make, queue


class LeaseContract:
    """The contract tests."""

    async def test_only_the_leader_of_the_term_promotes(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        term = await store.lead("broker", "b", 60)
        assert term is not None
        assert await store.promote([request.id], "other", term) == set()
        assert await store.promote([request.id], "b", term + 1) == set()
        assert await store.promote([request.id, "unknown"], "b", term) == {request.id}
        assert await store.promote([request.id], "b", term) == set()

    async def test_a_claim_is_a_lease_of_the_next_attempt(self, store: RequestStore) -> None:
        before = await store.clock()
        request = await claimed(store, lease=30)
        assert (request.status, request.attempt, request.worker) == (Status.PROCESSING, 1, "w")
        assert before + 30 - ROUNDED <= request.lease_until <= await store.clock() + 30 + ROUNDED

    async def test_of_many_claims_one_succeeds(self, store: RequestStore) -> None:
        requests = [make() for _ in range(5)]
        for request in requests:
            await store.add(request)
        await queue(store, *requests)
        ids = [request.id for request in requests]
        claims = await asyncio.gather(*(store.claim(ids, f"w{number}", 60) for number in range(8)))
        assert sorted(request.id for claim in claims for request in claim) == sorted(ids)

    async def test_a_waiting_request_cannot_be_claimed(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        assert await store.claim([request.id], "w", 60) == []

    async def test_renewal_extends_the_leases_held(self, store: RequestStore) -> None:
        request = await claimed(store, lease=-1)
        assert await store.renew({(request.id, 1), ("unknown", 1)}, "w", 60) == {request.id}
        assert await store.expired(10) == []

    async def test_renewal_needs_the_worker_and_the_attempt(self, store: RequestStore) -> None:
        request = await claimed(store, lease=-1)
        assert await store.renew({(request.id, 1)}, "other", 60) == set()
        assert await store.renew({(request.id, 2)}, "w", 60) == set()
        await store.transition(request.id, Status.PROCESSING, 1, Status.PROCESSED)
        assert await store.renew({(request.id, 1)}, "w", 60) == set()

    async def test_expired_gives_processing_requests_whose_lease_ended(self, store: RequestStore) -> None:
        late = await claimed(store, lease=-1)
        await claimed(store, lease=60)
        assert [request.id for request in await store.expired(10)] == [late.id]
        await store.transition(late.id, Status.PROCESSING, 1, Status.QUEUED)
        assert await store.expired(10) == []

    async def test_expired_gives_as_many_as_asked_for_the_longest_silent_first(
        self, store: RequestStore
    ) -> None:
        late = {lease: await claimed(store, lease=lease) for lease in (-1, -3, -2)}
        assert [request.id for request in await store.expired(2)] == [late[-3].id, late[-2].id]

    async def test_a_lease_that_has_ended_is_taken_away(self, store: RequestStore) -> None:
        late = await claimed(store, lease=-1)
        changed = await store.expire(late.id, 1, Status.QUEUED, delay=30, worker="", lost_leases=1)
        assert changed == await store.get(late.id)
        assert changed is not None
        assert (changed.status, changed.worker, changed.lost_leases) == (Status.QUEUED, "", 1)
        assert changed.not_before == pytest.approx(changed.last_modified + 30, abs=ROUNDED)

    async def test_a_lease_that_was_renewed_is_not_taken_away(self, store: RequestStore) -> None:
        late = await claimed(store, lease=-1)
        await store.renew({(late.id, 1)}, "w", 60)
        assert await store.expire(late.id, 1, Status.FAILED) is None
        found = await store.get(late.id)
        assert found is not None
        assert (found.status, found.worker, found.attempt) == (Status.PROCESSING, "w", 1)

    async def test_only_a_lease_of_that_attempt_is_taken_away(self, store: RequestStore) -> None:
        late, waiting = await claimed(store, lease=-1), make(lease_until=1.0)
        await store.add(waiting)
        assert await store.expire(late.id, 2, Status.QUEUED) is None
        assert await store.expire(waiting.id, 0, Status.FAILED) is None
        assert await store.expire("unknown", 1, Status.FAILED) is None
        with pytest.raises(IllegalTransitionError):
            await store.expire(late.id, 1, Status.WAITING)

    async def test_of_expiry_and_renewal_at_once_one_succeeds(self, store: RequestStore) -> None:
        late = [await claimed(store, lease=-1) for _ in range(8)]

        async def expire(request_id: str) -> set[str]:
            changed = await store.expire(request_id, 1, Status.QUEUED)
            return set() if changed is None else {request_id}

        calls = [call for one in late for call in (expire(one.id), store.renew({(one.id, 1)}, "w", 60))]
        taken = [request_id for done in await asyncio.gather(*calls) for request_id in done]
        assert sorted(taken) == sorted(request.id for request in late)

    async def test_a_pause_ends_by_the_clock_of_the_store(self, store: RequestStore) -> None:
        request = await claimed(store)
        before = await store.clock()
        changed = await store.transition(request.id, Status.PROCESSING, 1, Status.QUEUED, delay=5)
        assert changed is not None
        assert before + 5 - ROUNDED <= changed.not_before <= await store.clock() + 5 + ROUNDED

    async def test_the_clock_of_the_process_is_not_asked(
        self, store: RequestStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the store runs in the process itself, there is no other clock."""
        clock = await store.clock()
        monkeypatch.setattr(time, "time", lambda: 1e9)
        if abs(await store.clock() - clock) > 3600:
            return
        request = await claimed(store, lease=60)
        assert await store.expired(10) == []
        assert await store.expire(request.id, 1, Status.QUEUED) is None
        assert await store.renew({(request.id, 1)}, "w", 60) == {request.id}
        assert await store.expired(10) == []
        changed = await store.transition(request.id, Status.PROCESSING, 1, Status.QUEUED, delay=5)
        assert changed is not None
        times = [changed.last_modified, changed.not_before, changed.lease_until]
        times += [changed.status_history[state] for state in ("queued", "processing")]
        assert all(abs(when - clock) < 3600 for when in times)

    async def test_one_holder_leads_at_a_time(self, store: RequestStore) -> None:
        first = await store.lead("broker", "a", 60)
        assert first is not None
        assert await store.lead("broker", "b", 60) is None
        assert await store.lead("broker", "a", 60) == first
        assert await store.lead("other", "b", 60) is not None

    async def test_a_lead_that_ended_goes_to_another_in_a_new_term(self, store: RequestStore) -> None:
        first = await store.lead("broker", "a", -1)
        second = await store.lead("broker", "b", 60)
        assert first is not None
        assert second == first + 1
        assert await store.lead("broker", "a", 60) is None

    async def test_who_resigns_makes_room(self, store: RequestStore) -> None:
        first = await store.lead("broker", "a", 60)
        await store.resign("broker", "b")
        assert await store.lead("broker", "b", 60) is None
        await store.resign("broker", "a")
        second = await store.lead("broker", "b", 60)
        assert first is not None
        assert second is not None
        assert second > first
