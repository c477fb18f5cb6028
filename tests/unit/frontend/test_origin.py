"""Submissions that are sent again, and those that another server passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from polytope_server.frontend.origin import MOST_SERVERS
from polytope_server.request import Request, Status
from polytope_server.request_store import DuplicateRequestError
from polytope_server.user import User
from testbed.frontend import Answer, Frontend, frontend

SECRET = "shared-between-two-servers"
ALICE = User("alice", "test")
PEER = f"Federation {SECRET}:alice:test"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Frontend]:
    sections = {
        "federation": {"peer": {"secret": SECRET, "allowed-realms": ["test"]}},
        "frontend": {"limits": {"per-user": 5}},
    }
    async with frontend(tmp_path, sections) as made:
        yield made


async def submit(door: Frontend, request: Any = "x", collection: str = "echo", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    authorization = named.pop("authorization", None)
    body = {"verb": "retrieve", "request": request}
    return await door.call(
        "POST", f"/requests/{collection}", body, authorization=authorization, further=named
    )


async def listed(door: Frontend) -> list[str]:
    return (await door.call("GET", "/requests")).ids


async def test_a_submission_that_is_sent_again_is_the_same_request(door: Frontend) -> None:
    first = await submit(door, Idempotency_Key="k")
    again = [await submit(door, Idempotency_Key="k") for _ in range(8)]  # more than the limit of a user
    assert {answer.status for answer in (first, *again)} == {202}
    assert {answer.body["id"] for answer in (first, *again)} == {first.body["id"]}
    assert await listed(door) == [first.body["id"]]
    assert again[0].headers["idempotency-key"] == "k"


async def test_what_differs_is_another_request(door: Frontend) -> None:
    answers = [
        await submit(door, Idempotency_Key="k"),
        await submit(door, Idempotency_Key="l"),
        await submit(door, "y", Idempotency_Key="k"),
        await submit(door, collection="dummy", request=1, Idempotency_Key="k"),
        await submit(door),
    ]
    assert len({answer.body["id"] for answer in answers}) == len(answers) == len(await listed(door))
    bob = await door.call(
        *("POST", "/requests/echo", {"verb": "retrieve", "request": "x"}),
        user="bob", further={"Idempotency-Key": "k"},
    )  # fmt: skip
    assert bob.body["id"] not in await listed(door)


async def test_one_that_has_ended_meanwhile_is_answered_with_its_id(door: Frontend) -> None:
    first = await submit(door, Idempotency_Key="k")
    store = door.services.store
    await store.transition(first.body["id"], Status.WAITING, 0, Status.FAILED, user_message="no such field")
    again = await submit(door, Idempotency_Key="k")
    assert (again.status, again.body["id"], again.body["status"]) == (202, first.body["id"], "failed")
    poll = await door.call("GET", f"/requests/{again.body['id']}")
    assert (poll.status, poll.message) == (400, "Request failed with error:\nno such field")


async def test_one_that_comes_twice_at_the_same_time_is_one(
    door: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given that the other one is stored after it was looked for
    first = await submit(door, Idempotency_Key="k")
    store, known = door.services.store, [False, True]

    async def get(request_id: str, real: Any = store.get) -> Request | None:
        found: Request | None = await real(request_id)
        return found if known.pop(0) else None

    async def add(request: Request) -> None:
        raise DuplicateRequestError(request.id)

    monkeypatch.setattr(store, "get", get)
    monkeypatch.setattr(store, "add", add)
    again = await submit(door, Idempotency_Key="k")
    assert (again.status, again.body["id"]) == (202, first.body["id"])
    # And one that is there no more cannot be found
    known[:] = [False, False]
    assert (await submit(door, Idempotency_Key="k")).status == 503


@pytest.mark.parametrize("key", ["k" * 201, "a\tb"])
async def test_a_key_that_is_none_is_refused(door: Frontend, key: str) -> None:
    answer = await submit(door, Idempotency_Key=key)
    assert (answer.status, "Idempotency-Key" in answer.message) == (400, True)


async def test_where_a_request_was_before_is_kept_with_it_and_shown_to_none(door: Frontend) -> None:
    via = [str(uuid4()), str(uuid4())]
    answer = await submit(door, authorization=PEER, Polytope_Via=", ".join(via))
    stored = await door.services.store.get(answer.body["id"])
    assert stored is not None
    assert stored.via == tuple(via)
    assert via[0] not in str((await door.call("GET", "/requests")).body)


async def test_a_request_that_comes_back_is_refused(door: Frontend) -> None:
    mine = (await submit(door)).body["id"]
    answer = await submit(door, authorization=PEER, Polytope_Via=f"{uuid4()},{mine},{uuid4()}")
    assert answer.status == 400
    assert f"(as {mine}): the servers ask each other in a circle" in answer.message


async def test_another_users_request_is_not_found_by_it(door: Frontend) -> None:
    other = (await door.submit(user="bob")).body["id"]
    assert (await submit(door, authorization=PEER, Polytope_Via=other)).status == 202


async def test_a_request_is_not_passed_on_without_end(door: Frontend) -> None:
    ids = [str(uuid4()) for _ in range(MOST_SERVERS)]
    assert (await submit(door, authorization=PEER, Polytope_Via=",".join(ids[1:]))).status == 202
    answer = await submit(door, authorization=PEER, Polytope_Via=",".join(ids))
    assert (answer.status, "was passed on by 5 servers" in answer.message) == (400, True)


@pytest.mark.parametrize("via", ["a b", "x" * 65, ",".join("abcdefgh")])
async def test_what_is_no_list_of_ids_is_refused(door: Frontend, via: str) -> None:
    answer = await submit(door, authorization=PEER, Polytope_Via=via)
    assert (answer.status, "Polytope-Via" in answer.message) == (400, True)


async def test_users_say_nothing_of_where_a_request_was(door: Frontend) -> None:
    mine = (await submit(door)).body["id"]
    answer = await submit(door, Polytope_Via=mine)
    assert answer.status == 202
