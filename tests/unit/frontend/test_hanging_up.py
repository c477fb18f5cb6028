"""A client that hangs up: the frontend ends the work for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import falcon.asgi
import pytest
import yaml

from polytope_server.config import load
from polytope_server.frontend.app import Application
from polytope_server.http.shell import Shell
from testbed.server import CONFIG

GONE = {"type": "http.disconnect"}


@pytest.fixture
def app(tmp_path: Path) -> Application:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    return Application(load([file]), tmp_path)


async def call(app: Any, resource: Any, events: Iterable[dict[str, Any]], method: str = "GET") -> list[Any]:
    """Call a resource behind the frontend's error handlers; returns what was sent."""
    shell: Shell = app._app
    inner = shell._app
    assert isinstance(inner, falcon.asgi.App)
    inner.add_route("/resource", resource)
    told = iter(events)
    sent: list[Any] = []

    async def receive() -> Any:
        event = next(told, None)
        return event if event is not None else await asyncio.Event().wait()

    async def send(event: Any) -> None:
        sent.append(event)
        await asyncio.sleep(0)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": "/resource",
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return sent


async def test_a_download_that_nobody_takes_is_not_read_to_its_end(app: Application) -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(10_000):
            read += 1
            yield b"x"

    class Download:
        async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            resp.stream = chunks()

    start = {"type": "http.request", "body": b"", "more_body": False}
    await call(app, Download(), [start, GONE])
    assert read < 10


async def test_an_upload_that_breaks_off_is_not_taken_for_complete(app: Application) -> None:
    taken: list[bytes] = []
    complete = False

    class Upload:
        async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            nonlocal complete
            async for chunk in req.stream:
                taken.append(chunk)
            complete = True

    first = {"type": "http.request", "body": b"half", "more_body": True}
    sent = await call(app, Upload(), [first, GONE], "POST")
    assert (taken, complete, sent) == ([b"half"], False, [])
