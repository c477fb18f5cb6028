"""The application of the object store without sockets: what a test cannot have of a real disk or clock."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from polytope_server.http.shell import Shell
from polytope_server.object_store import resources
from polytope_server.object_store.app import make_application
from polytope_server.object_store.store import Store
from polytope_server.staging import LargestObjectError
from polytope_server.staging.polytope import PolytopeStagingSettings

TOKEN = "0123456789abcdef"
NAME = "/r1/0123456789abcdef0123456789abcdef.grib"
Event = dict[str, Any]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


def part(body: bytes = b"", more: bool = False) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Event = {"type": "http.disconnect"}


class Connection:
    """Counts the calls whose client may pause."""

    trusted = 0

    def trust(self) -> None:
        self.trusted += 1

    async def drained(self) -> None:
        """All is taken."""


class Client:
    """Calls the application; the events are what the server below it has to tell."""

    def __init__(self, app: Shell, root: Path) -> None:
        self._app = app
        self.root = root
        #: What the application says of the connection of each call.
        self.connection = Connection()

    async def __call__(self, method: str, path: str, events: Iterable[Event] = (), **headers: str) -> Answer:
        events = iter([*events] or [part()])
        answer = Answer()
        given = {"authorization": f"Bearer {TOKEN}", "host": "x", **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": b"",
            "polytope.connection": self.connection,
            "headers": [(key.replace("_", "-").encode(), text.encode()) for key, text in given.items()],
        }

        async def receive() -> Event:
            event = next(events, None)
            if event is None:
                await asyncio.Event().wait()
            assert event is not None
            return event

        async def send(event: Event) -> None:
            if event["type"] == "http.response.start":
                answer.status = event["status"]
                answer.headers = {key.decode(): text.decode() for key, text in event["headers"]}
            else:
                answer.body += event.get("body", b"")

        await self._app(scope, receive, send)
        return answer

    def left(self) -> list[Path]:
        """All files."""
        return [path for path in self.root.rglob("*") if path.is_file()]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = PolytopeStagingSettings(token=TOKEN, root_dir=tmp_path / "root")
    app = make_application(settings, tmp_path)
    orders: asyncio.Queue[Event] = asyncio.Queue()
    answers: asyncio.Queue[Event] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    life = asyncio.create_task(app(scope, orders.get, answers.put))  # type: ignore[arg-type]
    orders.put_nowait({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    yield Client(app, tmp_path / "root")
    orders.put_nowait({"type": "lifespan.shutdown"})
    assert (await answers.get())["type"] == "lifespan.shutdown.complete"
    await life


def fails(number: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_507(client: Client, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("os.fsync", fails(number))
    answer = await client("PUT", NAME, [part(b"data")])
    assert (answer.status, os.strerror(number) in answer.message) == (507, True)
    assert client.left() == []


async def test_the_largest_object_is_told_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def give_way(*_: Any) -> Any:
        raise LargestObjectError("the disk is full")

    monkeypatch.setattr(Store, "create", give_way)
    answer = await client("PUT", NAME, [part(b"data")])
    assert (answer.status, answer.headers["x-largest-object"]) == (507, "1")


async def test_a_disk_that_fails_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", fails(errno.EIO))
    answer = await client("PUT", NAME, [part(b"data")])
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert str(client.root) not in answer.message
    assert client.left() == []


async def test_more_than_the_disk_has_is_refused_before_it_comes(client: Client) -> None:
    answer = await client("PUT", NAME, [part(b"data", more=True)], content_length=str(1 << 60))
    assert answer.status == 413
    assert answer.message.startswith(f"The object has {1 << 60} bytes or more; there is room for ")


async def test_a_sender_that_stalls_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_CHUNK_TIME", 0.01)
    answer = await client("PUT", NAME, [part(b"x" * 2_000_000, more=True)])
    assert (answer.status, answer.message) == (408, "No data came for 0.01 seconds")
    assert client.left() == []


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_a_body_that_breaks_off_is_not_taken_for_complete(client: Client, size: int) -> None:
    answer = await client("PUT", NAME, [part(b"x" * size, more=True), GONE])
    assert answer.status == 0
    assert client.left() == []


async def test_a_client_that_hangs_up_after_all_was_sent_has_stored_it(client: Client) -> None:
    await client("PUT", NAME, [part(b"data"), GONE])
    assert (await client("GET", NAME)).body == b"data"


async def test_an_answer_that_is_not_taken_ends(client: Client) -> None:
    await client("PUT", NAME, [part(b"x" * (5 << 20))])
    answer = await client("GET", NAME, [part(), GONE])
    assert len(answer.body) < 5 << 20


async def test_what_fails_inside_is_for_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("a secret")

    monkeypatch.setattr("os.link", fail)
    answer = await client("PUT", NAME, [part(b"data")])
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "a secret" in caplog.text
    assert NAME not in caplog.text.split("Traceback")[0]


@pytest.mark.parametrize(("token", "trusted"), [(TOKEN, 2), ("wrong", 0)])
async def test_only_who_has_the_token_may_pause(client: Client, token: str, trusted: int) -> None:
    """A worker waits for its data source, and a frontend for its client; others are to be ended."""
    authorization = f"Bearer {token}"
    await client("PUT", NAME, [part(b"data")], authorization=authorization)
    await client("GET", NAME, authorization=authorization)
    assert client.connection.trusted == trusted
