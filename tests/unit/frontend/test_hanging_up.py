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
from polytope_server.frontend.composition import compose
from polytope_server.frontend.v1.routes import make_falcon
from polytope_server.runtime.management.server import Management
from testbed.server import CONFIG

GONE = {"type": "http.disconnect"}


@pytest.fixture
def api(tmp_path: Path) -> falcon.asgi.App[Any, Any]:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    services = compose(load([file]), tmp_path)
    return make_falcon(services, Management(None, services.health, services.metrics, lambda: False))


async def call(
    api: falcon.asgi.App[Any, Any], resource: Any, events: Iterable[dict[str, Any]], method: str = "GET"
) -> list[Any]:
    """Call a resource behind the frontend's error handlers; returns what was sent."""
    api.add_route("/resource", resource)
    coming = iter(events)
    sent: list[Any] = []

    async def receive() -> Any:
        event = next(coming, None)
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
    await Application(api)(scope, receive, send)
    return sent


async def test_a_download_that_nobody_takes_is_not_read_to_its_end(api: falcon.asgi.App[Any, Any]) -> None:
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
    await call(api, Download(), [start, GONE])
    assert read < 10


async def test_an_upload_that_breaks_off_is_not_taken_for_complete(api: falcon.asgi.App[Any, Any]) -> None:
    taken: list[bytes] = []
    complete = False

    class Upload:
        async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            nonlocal complete
            async for chunk in req.stream:
                taken.append(chunk)
            complete = True

    first = {"type": "http.request", "body": b"half", "more_body": True}
    sent = await call(api, Upload(), [first, GONE], "POST")
    assert (taken, complete, sent) == ([b"half"], False, [])
