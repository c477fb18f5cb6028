"""The limits of calls and requests, and what users learn of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testbed.frontend import Frontend, frontend

CLIENT = "python-requests/2.32.5"


@pytest.fixture
async def limited(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Frontend]:
    async with frontend(tmp_path, {"frontend": {"poll_wait": 0, "limits": request.param}}) as one:
        yield one


def with_limits(**limits: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "limited", [{name.replace("_", "-"): value for name, value in limits.items()}], indirect=True
    )


@with_limits()
async def test_there_are_none_unless_configured(limited: Frontend) -> None:
    answers = [await limited.submit() for _ in range(30)]
    assert {answer.status for answer in answers} == {202}
    assert not any("ratelimit" in answer.headers for answer in answers)
    assert (await limited.call("GET", "/user")).body == {"live requests": "30"}


@with_limits(calls_per_second=0.01, burst=3, per_user=5, total=7)
async def test_the_user_sees_the_limits_as_texts(limited: Frontend) -> None:
    assert (await limited.call("GET", "/user")).body == {
        "live requests": "0",
        "limit of live requests": "5",
        "limit of live requests of all users": "7",
        "limit of calls": "0.01 per second on average, 3 at once",
    }


@with_limits(calls_per_second=0.01, burst=3)
async def test_each_answer_tells_how_many_calls_are_left(limited: Frontend) -> None:
    answers = [await limited.call("GET", path) for path in ("/user", "/requests/unknown", "/collections")]
    assert [answer.status for answer in answers] == [200, 404, 200]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"calls";q=3;w=300'}
    left = [answer.headers["ratelimit"].rpartition(";")[0] for answer in answers]
    assert left == ['"calls";r=2', '"calls";r=1', '"calls";r=0']


@with_limits(calls_per_second=0.01, burst=3)
async def test_one_call_too_many_learns_which_limit_and_when(limited: Frontend) -> None:
    for _ in range(3):
        await limited.call("GET", "/user")
    answer = await limited.call("GET", "/user")
    seconds = answer.headers["retry-after"]
    assert answer.status == 429
    assert answer.message == (
        "Too many calls: the limit of a user is 0.01 per second on average, 3 at once. "
        f"Try again in {seconds} seconds."
    )
    assert answer.headers["ratelimit"] == f'"calls";r=0;t={seconds}'
    assert 1 < int(seconds) <= 400


@with_limits(calls_per_second=0.01, burst=3)
async def test_calls_without_credentials_are_not_counted(limited: Frontend) -> None:
    for _ in range(5):
        assert (await limited.call("GET", "/test")).status == 200
        assert (await limited.call("GET", "/user", password="wrong")).status == 401
    assert (await limited.call("GET", "/user")).status == 200


@with_limits(per_user=2)
async def test_a_request_too_many_learns_which_limit_and_what_to_do(limited: Frontend) -> None:
    for _ in range(2):
        await limited.submit()
    answer = await limited.submit()
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")
    assert answer.message == (
        "You have 2 requests that have not ended, and the limit is 2. Wait until one has ended, or revoke "
        "one. Try again in 5 seconds."
    )
    assert (await limited.submit(user="bob")).status == 202
    await limited.call("DELETE", "/requests/all")
    assert (await limited.submit()).status == 202


@with_limits(total=2)
async def test_the_limit_of_all_users(limited: Frontend) -> None:
    assert (await limited.submit()).status == (await limited.submit(user="bob")).status == 202
    answer = await limited.submit(user="bob")
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")
    assert "of all users that have not ended; the limit is 2" in answer.message


@with_limits(per_user=1)
async def test_a_bad_request_learns_what_is_wrong_with_it_first(limited: Frontend) -> None:
    await limited.submit()
    assert (await limited.call("POST", "/requests/echo", {})).status == 400


@with_limits(calls_per_second=0.01, burst=2, per_user=1)
async def test_the_client_is_answered_with_what_it_shows_unless_it_polls(limited: Frontend) -> None:
    """polytope-client waits two minutes on a 429 without a word, which is right for a poll only."""
    request = (await limited.submit(agent=CLIENT)).headers["location"].removeprefix("./")
    refused = await limited.submit(agent=CLIENT)
    assert (refused.status, refused.headers["retry-after"]) == (403, "5")
    assert "the limit is 1" in refused.message
    for path in (f"/requests/{request}", f"/uploads/{request}", f"/downloads/{request}"):
        assert (await limited.call("GET", path, agent=CLIENT)).status == 429
    refused = await limited.call("GET", "/user", agent=CLIENT)
    assert refused.status == 403
    assert "Too many calls" in refused.message
    assert (await limited.call("GET", "/user", agent="curl/8")).status == 429


@with_limits(text_per_user=1000)
async def test_the_texts_of_a_user_have_a_limit(limited: Frontend) -> None:
    statuses = [(await limited.submit(request="x" * 100)).status for _ in range(3)]
    assert statuses == [202, 202, 202]
    answer = await limited.submit(request="x" * 400)
    assert answer.status == 429
    assert re.search(r"have 6\d\d bytes of text, this one has 8\d\d, and the limit is 1000", answer.message)
    assert (await limited.submit(request="x" * 100)).status == 202
    assert (await limited.submit(user="bob", request="x" * 400)).status == 202
    await limited.call("DELETE", "/requests/all")
    statuses = [(await limited.submit(request="x" * 100)).status for _ in range(3)]
    assert statuses == [202, 202, 202]


@with_limits(total=5000)
async def test_not_every_submission_counts_the_requests_of_all(
    limited: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int | None] = []

    async def count(*, limit: int | None = None, **_: Any) -> int:
        counted.append(limit)
        return 4900

    monkeypatch.setattr(limited.services.store, "count", count)
    assert {(await limited.submit()).status for _ in range(100)} == {202}
    # The bound of a count, and how many there were.
    assert set(counted) == {5000}
    assert len(counted) < 30
