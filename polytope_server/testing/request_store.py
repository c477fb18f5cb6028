"""What every request store promises. Inherit, and give the fixture `store` an open, empty store."""

from __future__ import annotations

import asyncio

import pytest

from polytope_server.request import LIVE, TERMINAL, Address, IllegalTransitionError, Status, Upload, Verb
from polytope_server.request_store import DuplicateRequestError, RequestStore
from polytope_server.testing.request_leases import LeaseContract
from polytope_server.testing.request_retention import RetentionContract
from polytope_server.testing.request_selections import SelectionContract
from polytope_server.testing.request_summaries import SummaryContract
from polytope_server.testing.requests import ALICE as ALICE
from polytope_server.testing.requests import BOB as BOB
from polytope_server.testing.requests import ROUNDED
from polytope_server.testing.requests import claimed as claimed
from polytope_server.testing.requests import make as make
from polytope_server.testing.requests import queue as queue
from polytope_server.testing.requests import removed_all as removed_all


class RequestStoreContract(LeaseContract, SummaryContract, SelectionContract, RetentionContract):
    """The contract tests."""

    async def test_an_open_store_answers_its_check(self, store: RequestStore) -> None:
        await store.check()

    async def test_a_stored_request_comes_back_as_it_was(self, store: RequestStore) -> None:
        request = make(
            verb=Verb.ARCHIVE,
            user_request="a: 'b\\n\"ü'\n",
            coerced_request={"step": ["0", "6"], "number": 1, "nothing": None},
            datasource="d",
            input=Address("http://x/y"),
            sealed="sealed.v1.abc",
            via=("an-id", "another-id"),
        )
        await store.add(request)
        assert await store.get(request.id) == request

    async def test_an_input_and_a_result_come_back_as_they_were(self, store: RequestStore) -> None:
        request = make(verb=Verb.ARCHIVE, status=Status.UPLOADING)
        await store.add(request)
        for step in ("first", "second"):
            current = await store.get(request.id)
            assert current is not None
            source = Upload(f"{request.id}/{step}.bin")
            changed = await store.transition(request.id, current.status, 0, Status.WAITING, input=source)
            assert changed is not None
            assert (changed.input, changed.result, changed.staged) == (source, "", source.name)
            assert await store.get(request.id) == changed
        running = await claimed(store)
        name = f"{running.id}/result.grib"
        done = await store.transition(running.id, Status.PROCESSING, 1, Status.PROCESSED, result=name)
        assert done is not None
        assert (done.input, done.result, done.staged) == (None, name, name)
        assert await store.get(running.id) == done

    async def test_lists_show_input_and_result_as_an_address(self, store: RequestStore) -> None:
        shown = {
            "": make(),
            "http://x/y": make(verb=Verb.ARCHIVE, input=Address("http://x/y")),
            "staging:r/1.bin": make(verb=Verb.ARCHIVE, input=Upload("r/1.bin")),
            "./downloads/r/1.grib": make(status=Status.PROCESSED, result="r/1.grib"),
        }
        for request in shown.values():
            await store.add(request)
        documents = [request.to_document() for request in await store.find()]
        assert [document["url"] for document in documents] == list(shown)
        assert all("input" not in document and "result" not in document for document in documents)

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

    async def test_remove_takes_what_fulfils_the_conditions(self, store: RequestStore) -> None:
        request = make()
        await store.add(request)
        assert await store.remove(request.id, user_id=BOB.id) is None
        assert await store.remove(request.id, statuses={Status.FAILED}) is None
        removed = await store.remove(request.id, user_id=ALICE.id, statuses={Status.WAITING})
        assert removed == request
        assert await store.get(request.id) is None

    async def test_a_removed_request_cannot_be_changed(self, store: RequestStore) -> None:
        request = await claimed(store)
        await store.remove(request.id)
        assert await store.transition(request.id, Status.PROCESSING, 1, Status.PROCESSED) is None
        assert await store.renew({(request.id, 1)}, "w", 60) == set()
        assert await store.get(request.id) is None

    async def test_concurrent_transitions_have_one_winner(self, store: RequestStore) -> None:
        request = await claimed(store)
        ends = [Status.PROCESSED, Status.FAILED, Status.QUEUED] * 5
        changes = [store.transition(request.id, Status.PROCESSING, 1, end) for end in ends]
        outcomes = [found for found in await asyncio.gather(*changes) if found is not None]
        assert len(outcomes) == 1
        assert await store.get(request.id) == outcomes[0]
