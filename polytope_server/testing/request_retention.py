"""What every request store promises to the garbage collector: a part of the contract of request stores."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from polytope_server.request import LIVE, Request, Status, Upload
from polytope_server.request_store import RequestStore
from polytope_server.request_store.retention import Reason, Summary, Usage
from polytope_server.testing.requests import ALICE, BOB, make
from polytope_server.user import User

HOUR, DAY = 3600.0, 86400.0
CAROL = User("carol", "testrealm")


def aged(age: float, user: User = ALICE, size: int | None = 1, **fields: object) -> Request:
    """A processed request with a result of that size, last modified that many seconds ago."""
    chosen = {"status": Status.PROCESSED, "content_length": size, "timestamp": time.time() - age, **fields}
    return make(user, **chosen)  # type: ignore[arg-type]


async def stored(store: RequestStore, *requests: Request) -> list[str]:
    """Store them; their ids."""
    for request in requests:
        await store.add(request)
    return [request.id for request in requests]


class RetentionContract:
    """The contract tests."""

    async def test_stale_gives_the_oldest_first(self, store: RequestStore) -> None:
        ages = [3 * HOUR, 5 * HOUR, 4 * HOUR, HOUR]
        requests = [aged(age, status=Status.FAILED, size=None) for age in ages]
        ids = await stored(store, *requests)
        await stored(store, aged(DAY), aged(DAY, status=Status.WAITING))
        found = await store.stale(Status.FAILED, age=2 * HOUR, limit=2)
        assert [summary.id for summary in found] == [ids[1], ids[2]]
        assert found[0] == Summary(ids[1], ALICE.id, 0, requests[1].last_modified)
        assert await store.stale(Status.FAILED, age=6 * HOUR, limit=2) == []

    async def test_an_upload_that_goes_on_is_not_stale(self, store: RequestStore) -> None:
        uploading, processed = aged(DAY, status=Status.UPLOADING), aged(DAY)
        await stored(store, uploading, processed)
        for request in (uploading, processed):
            await store.touch(request.id)
        await store.touch("unknown")
        assert await store.stale(Status.UPLOADING, HOUR, 10) == []
        assert [found.id for found in await store.stale(Status.PROCESSED, HOUR, 10)] == [processed.id]
        changed = await store.get(uploading.id)
        assert changed is not None
        assert replace(changed, last_modified=0.0) == replace(uploading, last_modified=0.0)

    async def test_results_gives_the_objects_of_what_has_ended(self, store: RequestStore) -> None:
        done, failed = aged(1, result="r/1.bin"), aged(1, status=Status.FAILED)
        archived, live = aged(1, input=Upload("a/1.bin")), make(input=Upload("b/1.bin"))
        ids = await stored(store, done, failed, archived, live)
        expected = {done.id: "r/1.bin", failed.id: "", archived.id: "a/1.bin"}
        assert await store.results([*ids, "unknown"]) == expected
        assert await store.results([]) == {}

    async def test_usage_sums_the_results_of_each_user(self, store: RequestStore) -> None:
        await stored(store, *(aged(1, size=5) for _ in range(3)), aged(1, size=None), aged(1, BOB, 20))
        await stored(store, aged(1, CAROL, 1), make(BOB, content_length=1000))
        await stored(store, aged(1, BOB, 1000, status=Status.FAILED))
        assert await store.usage(10) == [Usage(BOB.id, 20), Usage(ALICE.id, 15), Usage(CAROL.id, 1)]
        assert await store.usage(1) == [Usage(BOB.id, 20)]

    async def test_removable_is_what_is_old_or_was_downloaded(self, store: RequestStore) -> None:
        requests = [aged(HOUR, size=7), aged(60.0), aged(2 * HOUR), aged(30.0)]
        ids = await stored(store, *requests, aged(DAY, BOB), aged(DAY, status=Status.FAILED))
        await store.mark_downloaded([ids[3], "unknown"])
        await store.mark_downloaded([ids[3]])
        found = await store.removable(ALICE.id, 1800.0, 10)
        assert [summary.id for summary in found] == [ids[2], ids[0], ids[3]]
        assert found[1] == Summary(ids[0], ALICE.id, 7, requests[0].last_modified)
        assert [summary.id for summary in await store.removable(ALICE.id, 0.0, 2)] == [ids[2], ids[0]]
        assert await store.get(ids[3]) == requests[3]

    async def test_burying_leaves_a_tombstone_for_the_owner(self, store: RequestStore) -> None:
        old, live = await stored(store, aged(1), make())
        before = time.time()
        assert await store.bury([old, live, "unknown"], Status.PROCESSED, Reason.SPACE) == {old}
        assert await store.bury([old], Status.PROCESSED, Reason.AGE) == set()
        found = await store.tombstone(old, ALICE.id)
        assert found is not None
        assert found.reason == "space"
        assert abs(found.removed_at - before) < 60
        assert await store.tombstone(old, BOB.id) is None
        assert await store.tombstone(live, ALICE.id) is None
        assert await store.tombstone("unknown", ALICE.id) is None

    async def test_a_tombstone_is_no_request(self, store: RequestStore) -> None:
        (old,) = await stored(store, aged(DAY))
        await store.bury([old], Status.PROCESSED, Reason.AGE)
        assert await store.get(old) is None
        assert await store.find() == await store.find(user_id=ALICE.id) == []
        assert await store.count() == await store.count(user_id=ALICE.id) == 0
        assert await store.existing([old]) == set()
        assert await store.results([old]) == {}
        assert await store.usage(10) == []
        assert await store.summaries(list(Status), [old]) == []
        assert await store.stale(Status.PROCESSED, 0.0, 10) == await store.removable(ALICE.id, 0.0, 10) == []
        assert await store.remove(old) is None
        assert [part async for part in store.remove_all(ALICE.id, list(Status)) if part] == []
        assert await store.tombstone(old, ALICE.id) is not None

    async def test_what_is_revoked_has_no_tombstone(self, store: RequestStore) -> None:
        ids = await stored(store, *(aged(DAY) for _ in range(40)))
        results = await asyncio.gather(
            *(store.remove(request_id) for request_id in ids[::2]),
            *(
                store.bury(ids[start : start + 10], Status.PROCESSED, Reason.AGE)
                for start in range(0, 40, 10)
            ),
            *(store.remove(request_id) for request_id in ids[1::2]),
        )
        buried = set[str]().union(*(found for found in results if isinstance(found, set)))
        revoked = {found.id for found in results if isinstance(found, Request)}
        assert sorted([*buried, *revoked]) == sorted(ids)
        graves = {name for name in ids if await store.tombstone(name, ALICE.id) is not None}
        assert graves == buried

    async def test_of_collectors_that_bury_the_same_each_request_has_one(self, store: RequestStore) -> None:
        ids = await stored(store, *(aged(DAY) for _ in range(30)))
        orders = [ids, ids[::-1], ids[15:] + ids[:15]]
        done = await asyncio.gather(*(store.bury(order, Status.PROCESSED, Reason.AGE) for order in orders))
        assert sorted(name for found in done for name in found) == sorted(ids)

    async def test_tombstones_are_bounded_by_number(self, store: RequestStore) -> None:
        ids = []
        for _ in range(5):  # one after the other, so that the times differ
            ids += await stored(store, aged(1))
            await store.bury(ids[-1:], Status.PROCESSED, Reason.AGE)
        (bobs,) = await stored(store, aged(1, BOB))
        await store.bury([bobs], Status.PROCESSED, Reason.AGE)
        assert await store.trim_tombstones(ALICE.id, 2) == 3
        assert await store.trim_tombstones(ALICE.id, 2) == 0
        left = {name for name in ids if await store.tombstone(name, ALICE.id) is not None}
        assert len(left) == 2
        assert await store.tombstone(bobs, BOB.id) is not None

    async def test_tombstones_are_bounded_by_age(self, store: RequestStore) -> None:
        ids = await stored(store, *(aged(1) for _ in range(5)))
        await store.bury(ids, Status.PROCESSED, Reason.AGE)
        assert await store.remove_tombstones(HOUR, 10) == 0
        assert await store.remove_tombstones(-1.0, 3) == 3
        assert await store.remove_tombstones(-1.0, 3) == 2
        assert await store.remove_tombstones(-1.0, 3) == 0

    @pytest.mark.parametrize("status", sorted(LIVE))
    async def test_what_is_in_another_state_is_not_buried(self, store: RequestStore, status: Status) -> None:
        (request_id,) = await stored(store, make(status=status))
        assert await store.bury([request_id], Status.PROCESSED, Reason.AGE) == set()
        assert await store.existing([request_id]) == {request_id}
