"""What every request store promises. Inherit, and give the fixture `store` an open, empty store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import pytest

from polytope_server.request import LIVE, TERMINAL, IllegalTransitionError, Request, Status, Verb
from polytope_server.request_store import (
    PAGE,
    PAGE_SIZE,
    Digest,
    DuplicateRequestError,
    Removed,
    RequestStore,
    Selection,
    Sketch,
)
from polytope_server.testing.request_retention import RetentionContract
from polytope_server.testing.requests import ALICE as ALICE
from polytope_server.testing.requests import BOB as BOB
from polytope_server.testing.requests import make as make

#: Seconds: stores may round to the millisecond.
ROUNDED = 0.001


async def queue(store: RequestStore, *requests: Request) -> None:
    """Take waiting requests to queued, as the leading broker does."""
    term = await store.lead("broker", "b", 60)
    assert term is not None
    ids = [request.id for request in requests]
    assert await store.promote(ids, "b", term) == set(ids)


async def claimed(store: RequestStore, lease: float = 60, **fields: object) -> Request:
    """A new request that worker `w` has claimed."""
    request = make(**fields)  # type: ignore[arg-type]
    await store.add(request)
    await queue(store, request)
    (found,) = await store.claim([request.id], "w", lease)
    return found


async def removed_all(store: RequestStore, user_id: str, statuses: Collection[Status]) -> list[Removed]:
    """All that a removal removed."""
    return [removed async for part in store.remove_all(user_id, statuses) for removed in part]


class RequestStoreContract(RetentionContract):
    """The contract tests."""

    async def test_an_open_store_answers_its_check(self, store: RequestStore) -> None:
        await store.check()

    async def test_a_stored_request_comes_back_as_it_was(self, store: RequestStore) -> None:
        request = make(
            verb=Verb.ARCHIVE,
            user_request="a: 'b\\n\"ü'\n",
            coerced_request={"step": ["0", "6"], "number": 1, "nothing": None},
            datasource="d",
            url="http://x/y",
            sealed="sealed.v1.abc",
        )
        await store.add(request)
        assert await store.get(request.id) == request

    async def test_secret_attributes_of_the_user_are_not_stored(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        (found,) = await store.find()
        assert "secret" not in str(found.to_document())

    async def test_sealed_secrets_last_until_the_request_ends(self, store: RequestStore) -> None:
        request = await claimed(store, sealed="sealed.v1.abc")
        assert request.sealed == "sealed.v1.abc"
        again = await store.transition(request.id, Status.PROCESSING, 1, Status.QUEUED)
        assert again is not None
        assert again.sealed == "sealed.v1.abc"
        assert "sealed" not in again.to_document()
        assert "sealed.v1" not in f"{again.to_document()} {again!r}"

    @pytest.mark.parametrize("end", sorted(TERMINAL))
    async def test_a_request_that_has_ended_keeps_no_secret(self, store: RequestStore, end: Status) -> None:
        request = await claimed(store, sealed="sealed.v1.abc")
        ended = await store.transition(request.id, Status.PROCESSING, 1, end, user_message="x")
        assert ended is not None
        assert ended.sealed == ""
        assert await store.get(request.id) == ended

    async def test_a_request_that_fails_before_it_is_claimed_keeps_none(self, store: RequestStore) -> None:
        request = make(sealed="sealed.v1.abc")
        await store.add(request)
        ended = await store.transition(request.id, Status.WAITING, 0, Status.FAILED)
        assert ended is not None
        assert ended.sealed == ""

    async def test_an_unknown_id_gives_none(self, store: RequestStore) -> None:
        assert await store.get("unknown") is None
        assert await store.remove("unknown") is None
        assert await store.transition("unknown", Status.WAITING, 0, Status.FAILED) is None

    async def test_an_id_is_stored_once(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        with pytest.raises(DuplicateRequestError):
            await store.add(make(id=request.id, collection="other"))
        found = await store.get(request.id)
        assert found is not None
        assert found.collection == "c"

    async def test_find_combines_conditions_in_order_of_submission(self, store: RequestStore) -> None:
        mine = [make(timestamp=1e9 - number) for number in range(3)]
        others = [make(BOB), make(collection="d"), make(status=Status.UPLOADING)]
        for request in mine + others:
            await store.add(request)
        found = await store.find(user_id=ALICE.id, collection="c", statuses={Status.WAITING})
        assert [request.id for request in found] == [request.id for request in mine]
        limited = await store.find(user_id=ALICE.id, collection="c", limit=2)
        assert [request.id for request in limited] == [request.id for request in mine[:2]]

    async def test_count_and_existing(self, store: RequestStore) -> None:
        requests = [make(), make(), make(BOB), make(status=Status.UPLOADING)]
        for request in requests:
            await store.add(request)
        assert await store.count() == 4
        assert await store.count(user_id=ALICE.id, statuses=LIVE) == 3
        assert await store.count(statuses=TERMINAL) == 0
        assert await store.count(statuses=LIVE, limit=3) == 3
        assert await store.count(user_id=ALICE.id, limit=9) == 3
        assert await store.count(user_id=ALICE.id, collection="c") == 3
        assert await store.count(user_id=ALICE.id, collection="d") == 0
        assert await store.existing([requests[0].id, "x", requests[2].id]) == {requests[0].id, requests[2].id}
        assert await store.existing([]) == set()

    async def test_a_transition_sets_state_fields_and_history(self, store: RequestStore) -> None:
        request = make(timestamp=1000.0)
        await store.add(request)
        before = await store.clock()
        changed = await store.transition(request.id, Status.WAITING, 0, Status.FAILED, user_message="no")
        assert changed == await store.get(request.id)
        assert changed is not None
        assert (changed.status, changed.user_message) == (Status.FAILED, "no")
        assert before - ROUNDED <= changed.last_modified <= await store.clock() + ROUNDED
        assert changed.status_history["waiting"] == 1000.0
        assert changed.status_history["failed"] == changed.last_modified

    async def test_a_transition_from_another_state_or_attempt_is_refused(self, store: RequestStore) -> None:
        request = await claimed(store)
        assert await store.transition(request.id, Status.QUEUED, 1, Status.FAILED) is None
        assert await store.transition(request.id, Status.PROCESSING, 0, Status.PROCESSED) is None
        assert await store.get(request.id) == request

    async def test_an_illegal_transition_is_an_error(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        with pytest.raises(IllegalTransitionError):
            await store.transition(request.id, Status.WAITING, 0, Status.PROCESSED)

    async def test_history_keeps_the_first_time_of_a_state(self, store: RequestStore) -> None:
        request = await claimed(store)
        first = request.status_history["queued"]
        changed = await store.transition(request.id, Status.PROCESSING, 1, Status.QUEUED)
        assert changed is not None
        assert changed.status_history["queued"] == first

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

    async def test_sketches_hold_what_the_broker_needs(self, store: RequestStore) -> None:
        request, other = make(not_before=5.0, datasource="d"), make(BOB, status=Status.UPLOADING)
        for stored in (request, other):
            await store.add(stored)
        (sketch,) = await store.sketches({Status.WAITING}, [request.id])
        assert sketch.datasource == "d"
        assert (sketch.id, sketch.collection, sketch.user_id) == (request.id, "c", ALICE.id)
        assert (sketch.realm, sketch.roles) == ("testrealm", ("default", "member"))
        assert (sketch.status, sketch.attempt, sketch.not_before) == (Status.WAITING, 0, 5.0)
        both = await store.sketches(LIVE, [other.id, "unknown"])
        assert [found.id for found in both] == [other.id]

    async def test_slices_of_what_waits_join_without_a_gap_or_an_overlap(self, store: RequestStore) -> None:
        requests = [make(status=status) for status in [Status.WAITING, Status.PROCESSED] * 7]
        for request in requests:
            await store.add(request)
        found: list[Sketch] = []
        while part := await store.waiting(found[-1].sequence if found else 0, None, 3):
            assert len(part) <= 3
            found += part
        assert [sketch.id for sketch in found] == [request.id for request in requests[::2]]
        sequences = [sketch.sequence for sketch in found]
        assert sequences == sorted(set(sequences))
        assert sequences[0] > 0
        middle = await store.waiting(sequences[1], sequences[4], 100)
        assert [sketch.sequence for sketch in middle] == sequences[2:5]
        both = await store.sketches([Status.WAITING], [requests[2].id, requests[0].id])
        assert both == found[:2]

    async def test_slices_of_what_is_active_hold_queued_and_processing_requests(
        self, store: RequestStore
    ) -> None:
        states = [Status.QUEUED, Status.WAITING, Status.PROCESSING, Status.FAILED, Status.QUEUED]
        requests = [make(status=status) for status in states]
        for request in requests:
            await store.add(request)
        first = await store.active(0, 2)
        assert [sketch.status for sketch in first] == [Status.QUEUED, Status.PROCESSING][: len(first)]
        found = [*first, *await store.active(first[-1].sequence, 9)]
        assert [sketch.id for sketch in found] == [requests[number].id for number in (0, 2, 4)]
        assert await store.active(found[-1].sequence, 9) == []

    async def test_the_digest_is_that_of_the_waiting_requests_in_a_range(self, store: RequestStore) -> None:
        for status in [Status.WAITING, Status.QUEUED, Status.WAITING, Status.WAITING, Status.WAITING]:
            await store.add(make(status=status))
        sequences = [sketch.sequence for sketch in await store.waiting(0, None, 9)]
        assert await store.digest(0, sequences[-1], 9) == Digest.of(sequences)
        assert await store.digest(sequences[0], sequences[2], 9) == Digest.of(sequences[1:3])
        assert await store.digest(0, sequences[-1], 2) == Digest.of(sequences[:2])
        assert await store.digest(sequences[-1], sequences[-1] + 9, 9) == Digest.of([]) == Digest()

    async def test_remove_takes_what_fulfils_the_conditions(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        assert await store.remove(request.id, user_id=BOB.id) is None
        assert await store.remove(request.id, statuses={Status.FAILED}) is None
        removed = await store.remove(request.id, user_id=ALICE.id, statuses={Status.WAITING})
        assert removed == request
        assert await store.get(request.id) is None

    async def test_remove_all_takes_one_users_requests(self, store: RequestStore) -> None:
        mine, done, bobs = make(), make(status=Status.FAILED), make(BOB)
        for request in (mine, done, bobs):
            await store.add(request)
        assert [found.id for found in await removed_all(store, ALICE.id, LIVE)] == [mine.id]
        assert await store.existing([mine.id, done.id, bobs.id]) == {done.id, bobs.id}

    async def test_remove_all_tells_what_each_was(self, store: RequestStore) -> None:
        request = make(status=Status.UPLOADING, collection="d", url="http://x/y")
        await store.add(request)
        (removed,) = await removed_all(store, ALICE.id, LIVE)
        assert removed == Removed(request.id, "d", Status.UPLOADING, "http://x/y")
        assert await removed_all(store, ALICE.id, LIVE) == []

    async def test_remove_all_leaves_what_came_or_ended_meanwhile(self, store: RequestStore) -> None:
        requests = [make() for _ in range(2 * PAGE + 1)]
        for request in requests:
            await store.add(request)
        parts = store.remove_all(ALICE.id, LIVE)
        removed = [found.id for found in await anext(parts)]
        assert len(removed) == PAGE
        late, ended = make(), requests[-1]
        await store.add(late)
        await store.transition(ended.id, Status.WAITING, 0, Status.FAILED)
        async for part in parts:
            assert len(part) <= PAGE
            removed += [found.id for found in part]
        assert sorted(removed) == sorted(request.id for request in requests[:-1])
        assert {request.id for request in await store.find()} == {late.id, ended.id}

    async def test_of_many_who_remove_all_each_request_has_one(self, store: RequestStore) -> None:
        requests = [make() for _ in range(PAGE + 20)]
        for request in requests:
            await store.add(request)
        found = await asyncio.gather(*(removed_all(store, ALICE.id, LIVE) for _ in range(3)))
        assert sorted(one.id for part in found for one in part) == sorted(one.id for one in requests)

    async def test_pages_hold_a_selection_in_order_of_submission(self, store: RequestStore) -> None:
        requests = []
        for number in range(2 * PAGE + 1):
            request = make(status=[*Status][number % len(Status)], collection="cd"[number % 2])
            requests.append(request)
            await store.add(request)
            await store.add(make(BOB))
        pages = [page async for page in store.pages(Selection(ALICE.id))]
        assert [len(page) for page in pages] == [PAGE, PAGE, 1]
        assert [found for page in pages for found in page] == requests
        ended = Selection(ALICE.id, TERMINAL, collection="c")
        wanted = [one for one in requests if one.status in TERMINAL and one.collection == "c"]
        assert [found async for page in store.pages(ended) for found in page] == wanted
        assert [page async for page in store.pages(Selection("nobody"))] == []

    async def test_a_page_is_bounded_by_the_size_of_its_texts(self, store: RequestStore) -> None:
        large = [make(user_request="x" * (PAGE_SIZE // 2)) for _ in range(40)]
        for request in large:
            await store.add(request)
        pages = [page async for page in store.pages(Selection(ALICE.id))]
        assert [found for page in pages for found in page] == large
        assert max(map(len, pages)) <= 16

    async def test_a_place_divides_a_selection(self, store: RequestStore) -> None:
        requests = [make(status=status) for status in (*TERMINAL, *TERMINAL, Status.WAITING)]
        for request in requests:
            await store.add(request)
        ended = Selection(ALICE.id, TERMINAL)
        assert await store.place(ended, 4) is None
        place = await store.place(ended, 1)
        assert place is not None
        newer = [found async for page in store.pages(Selection(ALICE.id, after=place)) for found in page]
        older = [found async for page in store.pages(Selection(ALICE.id, until=place)) for found in page]
        assert (older, newer) == (requests[:3], requests[3:])

    async def test_the_texts_of_a_user_have_a_size(self, store: RequestStore) -> None:
        live = [make(user_request="x: ü", coerced_request={"x": "ü"}), make(user_request="y" * 100_000)]
        for request in [*live, make(BOB, user_request="z"), make(status=Status.FAILED, user_request="z")]:
            await store.add(request)
        assert await store.text_size(ALICE.id, LIVE) == sum(request.text_size for request in live)
        assert await store.text_size("nobody", LIVE) == 0

    async def test_a_removed_request_cannot_be_changed(self, store: RequestStore) -> None:
        request = await claimed(store)
        await store.remove(request.id)
        assert await store.transition(request.id, Status.PROCESSING, 1, Status.PROCESSED) is None
        assert await store.renew({(request.id, 1)}, "w", 60) == set()
        assert await store.get(request.id) is None

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

    async def test_wipe_leaves_nothing(self, store: RequestStore) -> None:
        await store.add(make())
        await store.wipe()
        assert await store.find() == []

    async def test_concurrent_transitions_have_one_winner(self, store: RequestStore) -> None:
        request = await claimed(store)
        ends = [Status.PROCESSED, Status.FAILED, Status.QUEUED] * 5
        changes = [store.transition(request.id, Status.PROCESSING, 1, end) for end in ends]
        outcomes = [found for found in await asyncio.gather(*changes) if found is not None]
        assert len(outcomes) == 1
        assert await store.get(request.id) == outcomes[0]
