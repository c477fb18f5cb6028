"""What every request store promises about a user's requests: a part of the contract of request stores."""

from __future__ import annotations

import asyncio

from polytope_server.request import LIVE, TERMINAL, Status, Upload
from polytope_server.request_store import PAGE, PAGE_SIZE, Removed, RequestStore, Selection
from polytope_server.testing.requests import ALICE, BOB, make, removed_all


class SelectionContract:
    """The contract tests."""

    async def test_remove_all_takes_one_users_requests(self, store: RequestStore) -> None:
        mine, done, bobs = make(), make(status=Status.FAILED), make(BOB)
        for request in (mine, done, bobs):
            await store.add(request)
        assert [found.id for found in await removed_all(store, ALICE.id, LIVE)] == [mine.id]
        assert await store.existing([mine.id, done.id, bobs.id]) == {done.id, bobs.id}

    async def test_remove_all_tells_what_each_was(self, store: RequestStore) -> None:
        request = make(status=Status.UPLOADING, collection="d", input=Upload("r/1.bin"))
        await store.add(request)
        (removed,) = await removed_all(store, ALICE.id, LIVE)
        assert removed == Removed(request.id, "d", Status.UPLOADING, "r/1.bin")
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
