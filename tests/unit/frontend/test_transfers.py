"""How many downloads and uploads are let in, and for whom they count."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.frontend import transfers
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.frontend.transfers import SMALL, Release, Transfers
from polytope_server.http.shell import Shell, at_end
from polytope_server.request import Request, Status, Verb
from polytope_server.request_store import StoreUnavailableError
from polytope_server.settings.connections import TransfersSettings
from polytope_server.user import User

LARGE = SMALL + 1
#: As much of a call as everything around an application looks at.
SCOPE = {"type": "http", "method": "GET", "path": "/", "http_version": "1.1", "headers": [(b"host", b"x")]}


class Store:
    """A request store that knows the owner of each id `<name>-<number>`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.hangs = False

    async def get(self, request_id: str) -> Request | None:
        self.asked.append(request_id)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return None if request_id.startswith("gone") else request(request_id)


def request(request_id: str) -> Request:
    user = User(request_id.partition("-")[0], "test", {})
    return Request(
        id=request_id, verb=Verb.ARCHIVE, user=user, collection="c", user_request="x", status=Status.UPLOADING
    )


class Calls:
    """Calls of clients that have not ended yet."""

    def __init__(self, **settings: int) -> None:
        self.store = Store()
        made = TransfersSettings.model_validate({k.replace("_", "-"): v for k, v in settings.items()})
        self.transfers = Transfers(made, self.store)  # type: ignore[arg-type]
        self.running: list[Release] = []

    async def download(self, request_id: str, size: int = LARGE, address: str = "192.0.2.1") -> bool:
        """Whether it is admitted."""
        try:
            self.running.append(await self.transfers.admit_download(request_id, size, address))
        except RefusedError as error:
            if error.kind is not Kind.BUSY:
                raise
            return False
        return True

    def upload(self, request_id: str) -> str:
        """Why it is refused, empty if it is admitted."""
        try:
            self.running.append(self.transfers.admit_upload(request(request_id)))
        except RefusedError as error:
            if error.kind is not Kind.BUSY:
                raise
            return error.reason
        return ""

    def end(self, number: int) -> None:
        """The end of a call that was admitted."""
        self.running[number]()


async def test_a_user_has_a_number_of_downloads_and_leaves_the_rest_to_others() -> None:
    calls = Calls(per_user=2)
    assert [await calls.download(name) for name in ("alice-1", "alice-2", "alice-3", "bob-1")] == [
        *(True, True, False, True)
    ]


async def test_all_users_together_have_a_limit() -> None:
    calls = Calls(per_user=2, total=3)
    assert [await calls.download(f"user{number}-1") for number in range(4)] == [True, True, True, False]


async def test_the_last_quarter_is_for_owners_who_have_few() -> None:
    calls = Calls(per_user=8, total=32)
    for owner in ("ann", "bob", "cid", "dan"):
        admitted = [await calls.download(f"{owner}-{number}") for number in range(8)]
        assert admitted == ([True] * 8 if owner != "dan" else [True] * 4 + [False] * 4)
    assert [await calls.download(f"eve-{number}") for number in range(5)] == [True] * 4 + [False]


async def test_where_one_user_may_have_them_all_nothing_is_set_aside() -> None:
    calls = Calls(per_user=32, total=32)
    assert [await calls.download("all-1") for _ in range(33)] == [True] * 32 + [False]


async def test_what_has_ended_does_not_count() -> None:
    calls = Calls(per_user=1)
    assert [await calls.download("alice-1"), await calls.download("alice-1")] == [True, False]
    calls.end(0)
    assert await calls.download("alice-1")


async def test_what_is_small_does_not_count() -> None:
    calls = Calls(per_user=1)
    assert [await calls.download("alice-1", SMALL) for _ in range(3)] == [True] * 3
    assert not calls.store.asked


async def test_the_owner_is_asked_for_once() -> None:
    calls = Calls()
    for _ in range(5):
        await calls.download("alice-1")
    assert calls.store.asked == ["alice-1"]


async def test_results_are_sent_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_OWNER_TIME", 0.001)
    for store in ({"error": StoreUnavailableError("down")}, {"hangs": True}):
        calls = Calls(per_user=1)
        vars(calls.store).update(store)
        assert [await calls.download(name) for name in ("alice-1", "bob-1")] == [True, False]
        assert await calls.download("alice-1", address="192.0.2.2")


async def test_a_result_whose_request_is_gone_counts_for_the_address() -> None:
    calls = Calls(per_user=1)
    assert [await calls.download("gone-1"), await calls.download("gone-2")] == [True, False]


def test_a_request_has_two_uploads_at_a_time() -> None:
    calls = Calls()
    assert [calls.upload("alice-1") for _ in range(3)] == [
        "",
        "",
        "There are 2 uploads of this request already, and the limit is 2 at a time",
    ]
    assert not calls.upload("alice-2")
    calls.end(0)
    assert not calls.upload("alice-1")


async def test_uploads_and_downloads_of_a_user_count_together() -> None:
    calls = Calls(per_user=2)
    assert not calls.upload("alice-1")
    assert await calls.download("alice-2")
    assert calls.upload("alice-3") == (
        "This server sends and takes 2 results and uploads for you, and that is the limit"
    )
    calls.end(0)
    assert not calls.upload("alice-3")


async def test_a_call_that_ends_with_an_error_releases_what_it_held() -> None:
    released: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        at_end(SimpleNamespace(scope=scope), lambda: released.append("it"))  # type: ignore[arg-type]
        raise RuntimeError

    scope = {**SCOPE}
    with pytest.raises(RuntimeError):
        await Shell(app, [], [])(scope, None, None)  # type: ignore[arg-type]
    assert released == ["it"]


async def test_the_next_piece_is_made_when_the_one_before_is_taken() -> None:
    steps: list[str] = []

    class Connection:
        async def drained(self) -> None:
            steps.append("taken")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            steps.append("made")
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(event: Any) -> None:
        pass

    scope = {**SCOPE, "polytope.connection": Connection()}
    await Shell(app, [], [])(scope, receive, send)
    assert steps == ["made", "taken", "made", "taken"]
