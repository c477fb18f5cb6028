"""Lists of requests: what they show, in which order, and what else happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.frontend.lists import AT_ONCE
from polytope_server.http.shell import ClientGoneError
from polytope_server.request import TERMINAL, Request, Status
from polytope_server.request_store import PAGE, Page, Selection, StoreUnavailableError
from polytope_server.user import User
from testbed.frontend import Answer, Frontend, frontend

ALICE = User("alice", "test")
CLIENT = "python-requests/2.32.5"
#: Ended requests that a list shows.
LISTED = 5


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Frontend]:
    async with frontend(tmp_path, {"frontend": {"poll_wait": 0, "listed": LISTED}}) as one:
        yield one


async def store(one: Frontend, *statuses: Status, collection: str = "echo", text: str = "x") -> list[Request]:
    """Store requests of alice in those states."""
    requests = [Request(ALICE, collection, status=status, user_request=text) for status in statuses]
    # One after the other, for their order.
    for request in requests:
        await one.services.store.add(request)
    return requests


def next_of(answer: Answer) -> str:
    """The query of the next page."""
    found = re.fullmatch(r'<(\?before=[A-Za-z0-9_-]+)>; rel="next"', answer.headers["link"])
    assert found is not None
    return found[1]


def ids(requests: list[Request]) -> list[str]:
    return [request.id for request in requests]


async def test_a_list_is_what_it_was(one: Frontend) -> None:
    requests = await store(one, *Status, text="ü")
    answer = await one.call("GET", "/requests")
    documents = [request.to_document() for request in requests]
    assert answer.body == json.loads(json.dumps({"message": documents}))
    assert list(answer.body["message"][0]) == [
        *(
            "user",
            "collection",
            "verb",
            "user_request",
            "coerced_request",
            "id",
            "timestamp",
            "last_modified",
        ),
        *("status", "user_message", "url", "md5", "content_length", "content_type", "datasource"),
        "status_history",
    ]
    assert "link" not in answer.headers
    assert answer.headers["x-total-count"] == "6"
    assert int(answer.headers["content-length"]) > 0


async def test_a_user_without_requests_has_an_empty_list(one: Frontend) -> None:
    answer = await one.call("GET", "/requests")
    assert (answer.body, answer.headers["x-total-count"]) == ({"message": []}, "0")


async def test_all_that_live_and_the_newest_others_are_listed_in_order_of_submission(one: Frontend) -> None:
    old = await store(one, Status.FAILED, Status.WAITING, *[Status.PROCESSED] * 3, Status.UPLOADING)
    new = await store(one, Status.PROCESSED, Status.QUEUED, *[Status.FAILED] * 4)
    answer = await one.call("GET", "/requests")
    assert answer.ids == ids([old[1], old[5], *new])
    assert answer.headers["x-total-count"] == "12"
    rest = await one.call("GET", f"/requests{next_of(answer)}")
    assert rest.ids == ids([old[0], *old[2:5]])
    assert "link" not in rest.headers


async def test_the_pages_together_hold_each_request_once(one: Frontend) -> None:
    requests = await store(one, *[Status.PROCESSED, Status.FAILED] * 8, Status.WAITING)
    answer = await one.call("GET", "/requests")
    pages = [answer.ids]
    while "link" in answer.headers:
        answer = await one.call("GET", f"/requests{next_of(answer)}")
        pages.append(answer.ids)
    assert [len(page) for page in pages] == [LISTED + 1, LISTED, LISTED, 1]
    assert [found for page in reversed(pages) for found in page] == ids(requests)


async def test_a_collection_has_a_list_of_its_own(one: Frontend) -> None:
    mine = await store(one, *[Status.PROCESSED] * 2, Status.WAITING, collection="dummy")
    await store(one, *[Status.PROCESSED] * 20)
    answer = await one.call("GET", "/requests/dummy")
    assert (answer.ids, answer.headers["x-total-count"]) == (ids(mine), "3")
    assert "link" not in answer.headers
    more = await store(one, *[Status.PROCESSED] * 4, collection="dummy")
    answer = await one.call("GET", "/requests/dummy")
    assert answer.ids == ids([*mine[1:], *more])
    assert (await one.call("GET", f"/requests/dummy{next_of(answer)}")).ids == ids(mine[:1])


async def test_a_cursor_of_the_callers_own_making_is_refused(one: Frontend) -> None:
    for cursor in ("", "1", "djE6LTE", "%FF", "djE6MQ" * 1000):
        answer = await one.call("GET", f"/requests?before={cursor}")
        assert answer.status == 400
        assert "'before'" in answer.message


async def test_other_parameters_are_ignored_as_ever(one: Frontend) -> None:
    requests = await store(one, Status.WAITING)
    assert (await one.call("GET", "/requests?limit=0&status=x")).ids == ids(requests)


async def test_a_long_list_is_sent_in_pieces_while_other_calls_are_answered(one: Frontend) -> None:
    requests = [Request(ALICE, "echo", user_request="x" * 100) for _ in range(20 * PAGE)]
    await asyncio.gather(*map(one.services.store.add, requests))
    await one.call("GET", "/user")  # from now on the caller is known
    listing = asyncio.create_task(one.call("GET", "/requests"))
    answered = 0
    while not listing.done():
        assert (await one.call("GET", "/test")).status == 200
        await asyncio.sleep(0)
        answered += 1
    assert len((await listing).ids) == len(requests)
    assert answered >= 15


async def test_the_head_of_a_long_list_needs_no_body(one: Frontend) -> None:
    await store(one, *[Status.WAITING] * (PAGE + 1))
    # As the application passes on a HEAD.
    answer = await one.call("GET", "/requests", **{"polytope.head": True})
    assert (answer.status, answer.body) == (200, {})
    assert answer.headers["x-total-count"] == str(PAGE + 1)


async def test_it_is_503_while_the_store_cannot_be_reached(
    one: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(selection: Selection) -> Page:
        raise StoreUnavailableError("down")

    monkeypatch.setattr(one.services.store, "page", fail)
    assert (await one.call("GET", "/requests")).status == 503


async def test_a_list_that_cannot_be_read_to_its_end_does_not_look_complete(
    one: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(one, *[Status.WAITING] * (3 * PAGE))
    page, pages = one.services.store.page, 0

    async def fail_later(selection: Selection) -> Page:
        nonlocal pages
        pages += 1
        if pages > 2:
            raise StoreUnavailableError("down")
        return await page(selection)

    monkeypatch.setattr(one.services.store, "page", fail_later)
    with pytest.raises(StoreUnavailableError):
        await one.call("GET", "/requests")


async def test_a_user_gets_a_bounded_number_of_lists_at_a_time(one: Frontend) -> None:
    await store(one, *[Status.WAITING] * (2 * PAGE))
    one.services.lists.wait = 0
    begun, taken = asyncio.Semaphore(0), asyncio.Event()

    async def take_late() -> None:
        begun.release()
        await taken.wait()

    held = [asyncio.create_task(one.call("GET", "/requests", sending=take_late)) for _ in range(AT_ONCE)]
    for _ in held:
        await begun.acquire()
    answer = await one.call("GET", "/requests")
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")
    assert (await one.call("GET", "/requests/echo", agent=CLIENT)).status == 403
    assert (await one.call("GET", "/requests", user="bob")).status == 200
    taken.set()
    assert [len((await listing).ids) for listing in held] == [2 * PAGE] * AT_ONCE
    assert (await one.call("GET", "/requests")).status == 200


async def test_a_caller_who_has_gone_keeps_no_place(one: Frontend) -> None:
    await store(one, *[Status.WAITING] * (2 * PAGE))
    one.services.lists.wait = 0

    async def fail() -> None:
        raise ClientGoneError

    for _ in range(2 * AT_ONCE):
        with pytest.raises(ClientGoneError):
            await one.call("GET", "/requests", sending=fail)
    assert (await one.call("GET", "/requests")).status == 200


async def test_revoking_all_is_done_and_announced_in_parts(
    one: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, ended = (
        await store(one, *[Status.WAITING] * (2 * PAGE + 1)),
        await store(one, *TERMINAL),
    )
    announced: list[int] = []
    monkeypatch.setattr(one.services.notices, "publish", lambda topic, *ids: announced.append(len(ids)))
    answer = await one.call("DELETE", "/requests/all")
    assert answer.message == f"Successfully revoked {len(live)} requests"
    assert announced == [PAGE, PAGE, 1]
    assert (await one.call("GET", "/requests")).ids == ids(ended)
