"""The request store on MongoDB: the contract, leases, queries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest
from mongodb_stores import Connect, Documents
from pymongo.asynchronous.collection import AsyncCollection

from polytope_server.request import LIVE, TERMINAL, Status
from polytope_server.request_store import PAGE, Selection
from polytope_server.request_store.mongodb import MongoDBRequestStore
from polytope_server.request_store.mongodb import documents as d
from polytope_server.request_store.mongodb.documents import to_document
from polytope_server.testing.request_store import (
    ALICE,
    BOB,
    RequestStoreContract,
    claimed,
    make,
    queue,
    removed_all,
)
from polytope_server.user import User


class TestMongoDBRequestStore(RequestStoreContract):
    async def test_the_order_of_submission_does_not_depend_on_the_times(self, connect: Connect) -> None:
        stores = [await connect() for _ in range(3)]
        requests = [make(timestamp=1e9, status=list(LIVE)[number % 4]) for number in range(60)]
        for number, request in enumerate(requests):
            await stores[number % 3].add(request)
        expected = [request.id for request in requests]
        assert [request.id for request in await stores[0].find()] == expected
        waiting = [request.id for request in requests if request.status is Status.WAITING]
        assert [summary.id for summary in await stores[0].waiting(0, None, 1000)] == waiting
        assert [summary.id for summary in await stores[0].summaries(LIVE, sorted(expected))] == expected

    async def test_any_text_and_number_comes_back_as_it_was(self, store: MongoDBRequestStore) -> None:
        odd = {"a.b": {"$set": ["$x", None, 2**70, 1e300, True]}, "": "\0", "$where": {"": []}, "ü": "日本"}
        user = User("$user.name", "$realm", ("$role", "a.b", ""))
        request = make(user, "$c.d", coerced_request=odd, user_request="$$NOW\0", datasource="$d", id="$a.b")
        await store.add(request)
        assert await store.get("$a.b") == request
        assert await store.find(user_id=user.id, collection="$c.d") == [request]
        term = await store.lead("broker", "$h.x", 60)
        assert term is not None
        assert await store.promote(["$a.b"], "$h.x", term) == {"$a.b"}
        (taken,) = await store.claim(["$a.b"], "$w", 60)
        assert taken.worker == "$w"
        assert await store.renew({("$a.b", 1)}, "$w", 60) == {"$a.b"}
        message, huge = "$message $$ROOT", {"n": -(2**90), "$n": "$n"}
        changed = await store.transition(
            "$a.b", Status.PROCESSING, 1, Status.FAILED, user_message=message, coerced_request=huge,
            content_length=2**40, md5="$m",
        )  # fmt: skip
        assert changed == await store.get("$a.b")
        assert changed is not None
        assert (changed.user_message, changed.coerced_request) == (message, huge)
        assert (changed.content_length, changed.md5) == (2**40, "$m")

    async def test_the_states_of_a_list_may_be_none(self, store: MongoDBRequestStore) -> None:
        await store.add(make())
        assert await store.find(statuses=[]) == []
        assert await store.count(statuses=set()) == 0
        assert await store.summaries([], ["x"]) == []
        assert await store.find(limit=0) == []
        assert await store.promote([], "b", 1) == set()
        assert await store.claim([], "w", 60) == []
        assert await store.renew([], "w", 60) == set()

    async def test_no_slice_ends_between_requests_of_the_same_microsecond(
        self, store: MongoDBRequestStore, documents: Documents
    ) -> None:
        for sequence in (1, 2, 2, 2, 3, 3, 4):
            documents.insert_one(d.to_document(make(), sequence))
        slices, after = [], 0
        while part := await store.waiting(after, None, 2):
            slices.append([summary.sequence for summary in part])
            after = part[-1].sequence
        assert slices == [[1], [2, 2, 2], [3, 3], [4]]

    async def test_more_than_one_batch(self, store: MongoDBRequestStore) -> None:
        requests = [make() for _ in range(2100)]
        for start in range(0, 2100, 300):
            await asyncio.gather(*map(store.add, requests[start : start + 300]))
        ids = {request.id for request in requests}
        assert {request.id for request in await store.find()} == ids
        assert {summary.id for summary in await store.waiting(0, None, 10_000)} == ids
        assert await store.existing(ids) == ids
        await queue(store, *requests)
        assert {request.id for request in await removed_all(store, ALICE.id, LIVE)} == ids

    async def test_requests_of_the_same_microsecond_are_on_a_page_together(
        self, store: MongoDBRequestStore, documents: Documents
    ) -> None:
        requests = [make() for _ in range(PAGE + 5)]
        for place, request in enumerate(requests):
            # Those around the end of the first page have the place of its last one.
            place = PAGE - 1 if PAGE - 2 <= place <= PAGE + 1 else place
            documents.insert_one(to_document(request, place + 1))
        pages = [page async for page in store.pages(Selection(ALICE.id))]
        assert [len(page) for page in pages] == [PAGE + 2, 3]
        assert {found.id for page in pages for found in page} == {request.id for request in requests}
        assert len(await removed_all(store, ALICE.id, LIVE)) == len(requests)

    async def test_each_removal_belongs_to_one_caller(self, connect: Connect) -> None:
        stores = [await connect() for _ in range(4)]
        requests = [make() for _ in range(100)]
        await asyncio.gather(*(stores[0].add(request) for request in requests))
        removals = [removed_all(store, ALICE.id, LIVE) for store in stores]
        failures = [
            stores[0].transition(request.id, Status.WAITING, 0, Status.FAILED) for request in requests[::2]
        ]
        failed, *removed = await asyncio.gather(asyncio.gather(*failures), *removals)
        ids = [request.id for found in removed for request in found]
        ids += [request.id for request in failed if request is not None]
        assert sorted(ids) == sorted(request.id for request in requests)
        assert await stores[0].count() == sum(request is not None for request in failed)

    async def test_what_an_earlier_version_stored_is_read(
        self, store: MongoDBRequestStore, documents: Documents
    ) -> None:
        request = make()
        await store.add(request)
        documents.update_one({"_id": request.id}, {"$unset": {"sealed": "", "lost_leases": "", "via": ""}})
        assert await store.get(request.id) == request

    async def test_a_removal_that_was_cut_short_leaves_no_secret(
        self, store: MongoDBRequestStore, documents: Documents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = make(sealed="sealed.v1.abc")
        await store.add(request)
        monkeypatch.setattr(AsyncCollection, "delete_many", AsyncMock())
        await removed_all(store, request.user.id, LIVE)
        left = documents.find_one({"_id": request.id})
        assert left is not None
        assert "sealed.v1" not in str(left)

    async def test_a_removal_that_was_cut_short_is_a_removal(
        self, store: MongoDBRequestStore, documents: Documents
    ) -> None:
        request = await claimed(store)
        marked = {"$set": {"removed_at": 0, "removal": 0}, "$rename": {"state": "removed_from"}}
        documents.update_one({"_id": request.id}, marked)
        assert await store.get(request.id) is None
        assert await store.existing([request.id]) == set()
        assert await store.find() == []
        assert await store.renew({(request.id, 1)}, "w", 60) == set()
        assert await store.remove(request.id) is None
        assert await store.expired(10) == []

    async def test_promotion_counts_what_others_did_not_do(self, connect: Connect) -> None:
        one, other = await connect(), await connect()
        requests = [make() for _ in range(40)]
        await asyncio.gather(*(one.add(request) for request in requests))
        term = await one.lead("broker", "b", 60)
        assert term is not None
        ids = [request.id for request in requests]
        found = await asyncio.gather(*(store.promote(ids, "b", term) for store in (one, other, one)))
        assert sorted(key for promoted in found for key in promoted) == sorted(ids)

    async def test_renewal_tells_those_apart_that_are_lost(self, store: MongoDBRequestStore) -> None:
        held = [await claimed(store) for _ in range(5)]
        lost = held.pop()
        await store.transition(lost.id, Status.PROCESSING, 1, Status.QUEUED)
        await store.claim([lost.id], "w", 60)  # a further attempt of the same worker
        claims = {(request.id, 1) for request in (*held, lost)}
        assert await store.renew(claims, "w", 60) == {request.id for request in held}


class TestLeases:
    async def test_of_many_who_begin_at_once_one_leads(self, connect: Connect) -> None:
        stores = [await connect() for _ in range(8)]
        for name in ("broker", "another", "third"):
            terms = await asyncio.gather(
                *(store.lead(name, f"b{number}", 60) for number, store in enumerate(stores))
            )
            assert sorted(term for term in terms if term is not None) == [1]

    async def test_a_leader_that_was_held_up_cannot_promote(self, connect: Connect) -> None:
        former, present = await connect(), await connect()
        request = make()
        await former.add(request)
        old = await former.lead("broker", "former", 0.5)
        new = None
        async with asyncio.timeout(5):
            while (new := await present.lead("broker", "present", 60)) is None:  # noqa: ASYNC110 -- the time of the server
                await asyncio.sleep(0.02)
        assert old is not None
        assert await former.promote([request.id], "former", old) == set()
        assert await present.promote([request.id], "present", new) == {request.id}

    async def test_nothing_is_promoted_just_before_a_lease_ends(self, store: MongoDBRequestStore) -> None:
        request = make()
        await store.add(request)
        term = await store.lead("broker", "b", 0.05)
        assert term is not None
        assert await store.promote([request.id], "b", term) == set()

    async def test_what_a_leader_took_elsewhere_holds_here(self, connect: Connect) -> None:
        one, other = await connect(), await connect()
        request = make()
        await one.add(request)
        term = await one.lead("broker", "b", 60)
        assert term is not None
        assert await other.promote([request.id], "b", term + 1) == set()
        assert await other.promote([request.id], "b", term) == {request.id}

    async def test_who_resigned_cannot_promote(self, store: MongoDBRequestStore) -> None:
        request = make()
        await store.add(request)
        term = await store.lead("broker", "b", 60)
        assert term is not None
        await store.resign("broker", "b")
        assert await store.promote([request.id], "b", term) == set()


class TestQueries:
    """What the server did for each call, by its own profiler."""

    @pytest.fixture
    async def filled(
        self, store: MongoDBRequestStore, documents: Documents
    ) -> AsyncIterator[MongoDBRequestStore]:
        states = [*Status] * 20
        for user in (ALICE, BOB, User("carol", "r")):
            await asyncio.gather(*(store.add(make(user, status=status)) for status in states))
        database = documents.database
        database.command("profile", 2)
        yield store
        database.command("profile", 0)
        database.drop_collection("system.profile")

    async def test_none_scans_the_collection_or_sorts_in_memory(
        self, filled: MongoDBRequestStore, documents: Documents
    ) -> None:
        store = filled
        waiting = [request.id for request in await store.find(statuses=[Status.WAITING])]
        done = [found.id for found in await store.find(user_id=ALICE.id, statuses=[Status.PROCESSED])]
        uploading = (await store.find(statuses=[Status.UPLOADING]))[0].id
        request = await claimed(store)
        term = await store.lead("broker", "b", 60)
        assert term is not None
        lost = make(status=Status.PROCESSING, worker="w", attempt=1)
        await store.add(lost)
        calls: list[Awaitable[Any]] = [
            *(store.get(request.id), store.find(), store.find(user_id=ALICE.id)),
            *(store.find(user_id=ALICE.id, collection="c", limit=5), store.find(statuses=LIVE, limit=5)),
            *(store.find(user_id=ALICE.id, statuses=LIVE), store.find(collection="c")),
            *(store.count(), store.count(user_id=ALICE.id, statuses=LIVE)),
            *(store.count(statuses=[Status.WAITING]), store.existing(waiting)),
            *(store.waiting(0, None, 3), store.waiting(1, 2**62, 100), store.active(0, 3)),
            store.digest(0, 2**62, 1000),
            *(store.count(user_id=ALICE.id, collection="c"), store.count(statuses=LIVE, limit=5)),
            *(store.page(Selection(ALICE.id)), store.page(Selection(ALICE.id, TERMINAL, "c", after=5))),
            *(store.place(Selection(ALICE.id, TERMINAL), 10), store.text_size(ALICE.id, LIVE)),
            *(store.summaries(LIVE, waiting), store.expired(10)),
            *(store.stale(Status.FAILED, -1, 10), store.stale(Status.UPLOADING, 1e9, 10)),
            *(store.removable(ALICE.id, -1, 5), store.removable(ALICE.id, 1e9, 5)),
            *(store.results(done), store.mark_downloaded(done[:2]), store.removable(ALICE.id, 1e9, 5)),
            *(store.touch(uploading), store.bury(done[:3], Status.PROCESSED, "age")),
            *(store.bury([*done[3:5], "x"], Status.PROCESSED, "age"), store.tombstone(done[0], ALICE.id)),
            *(store.trim_tombstones(ALICE.id, 1), store.remove_tombstones(-1, 1)),
            *(store.promote(waiting[:3], "b", term), store.promote([*waiting[3:6], "x"], "b", term)),
            *(store.claim([waiting[0]], "w", 60), store.renew({(request.id, 1)}, "w", 60)),
            *(store.renew({(lost.id, 1), ("x", 1)}, "w", 60), store.lead("broker", "other", 60)),
            store.transition(lost.id, Status.PROCESSING, 1, Status.PROCESSED),
            *(store.remove(lost.id, user_id=ALICE.id, statuses=TERMINAL), store.remove(waiting[7])),
            *(removed_all(store, BOB.id, LIVE), store.resign("broker", "b")),
        ]
        for call in calls:
            await call
        records = self._records(documents)
        assert {record["op"] for record in records} >= {"query", "update", "remove", "command", "insert"}
        assert len(records) >= len(calls)
        for record in records:
            plan = record.get("planSummary", "")
            assert "COLLSCAN" not in plan, record
            assert not record.get("hasSortStage"), record
            # Of what was looked at, nothing was looked at in vain, but for collections and sums.
            if "collection" not in str(record["command"].get("filter")) and "$sum" not in str(record):
                touched = max(
                    record.get(name, 0) for name in ("nreturned", "nMatched", "ndeleted", "ninserted")
                )
                assert record.get("docsExamined", 0) <= max(touched, 1), record

    async def test_sums_and_choices_of_the_collector_read_an_index_only(
        self, filled: MongoDBRequestStore, documents: Documents
    ) -> None:
        await filled.usage(10)
        await filled.removable(ALICE.id, -1, 10)
        records = [record for record in self._records(documents) if "planSummary" in record]
        assert {record["planSummary"][:6] for record in records} == {"IXSCAN"}
        assert [record["docsExamined"] for record in records] == [0, 0, 0]

    async def test_a_hot_call_is_one_operation(
        self, filled: MongoDBRequestStore, documents: Documents
    ) -> None:
        store = filled
        request = make()
        term = await store.lead("broker", "b", 60)
        assert term is not None
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: store.add(request),
            lambda: store.get(request.id),
            lambda: store.promote([request.id], "b", term),
            lambda: store.claim([request.id], "w", 60),
            lambda: store.renew({(request.id, 1)}, "w", 60),
            lambda: store.transition(request.id, Status.PROCESSING, 1, Status.PROCESSED),
            lambda: store.remove(request.id),
        ]
        for call in calls:
            before = len(self._records(documents))
            await call()
            assert len(self._records(documents)) == before + 1

    async def test_counting_reads_no_documents(
        self, filled: MongoDBRequestStore, documents: Documents
    ) -> None:
        before = len(self._records(documents))
        await filled.count(statuses=[Status.WAITING])
        await filled.count(user_id=ALICE.id, statuses=LIVE)
        assert [record["docsExamined"] for record in self._records(documents)[before:]] == [0, 0]

    def _records(self, documents: Documents) -> list[dict[str, Any]]:
        names = [f"{documents.full_name}{suffix}" for suffix in ("", ".leases")]
        found = documents.database["system.profile"].find({"ns": {"$in": names}}).to_list()
        return [record for record in found if record["op"] != "getmore"]
