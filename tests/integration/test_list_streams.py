"""Lists of requests over HTTP, as a server sends them and clients take them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
import yaml

from polytope_server.config import load
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.frontend.app import make_application
from polytope_server.frontend.composition import compose
from polytope_server.request import Request
from polytope_server.request_store import PAGE, Page, Selection, StoreUnavailableError
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.user import User
from testbed.server import CONFIG, basic


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """That of a frontend in this process, with five pages of requests of alice."""
    store = SQLRequestStore(SQLSettings(), tmp_path)
    await store.open()
    user = User("alice", "test")
    await asyncio.gather(*(store.add(Request(user, "echo")) for _ in range(5 * PAGE)))
    await store.close()
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    application = make_application(compose(load([file]), tmp_path))
    config = uvicorn.Config(application, port=0, lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 -- it has no event for that
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def answer_of(port: int, method: str) -> tuple[bytes, bytes]:
    """Head and body of the list of alice's requests, as they come before the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    credentials = basic("alice", "alice's password")["Authorization"]
    head = f"{method} /api/v1/requests HTTP/1.1\r\nHost: x\r\nAuthorization: {credentials}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    first, _, body = answer.partition(b"\r\n\r\n")
    return first.lower(), body


def joined(body: bytes) -> bytes:
    """The chunks of a body; ValueError unless it is complete."""
    found = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return found
        found, body = found + rest[:length], rest[length + 2 :]


async def test_a_long_list_comes_in_chunks(port: int) -> None:
    head, body = await answer_of(port, "GET")
    assert head.startswith(b"http/1.1 200")
    assert b"transfer-encoding: chunked" in head
    assert b"content-type: application/json" in head
    assert len(json.loads(joined(body))["message"]) == 5 * PAGE


async def test_its_head_has_no_body(port: int) -> None:
    head, body = await answer_of(port, "HEAD")
    assert head.startswith(b"http/1.1 200")
    assert b"x-total-count: 500" in head
    assert body == b""


async def test_a_store_that_goes_away_meanwhile_breaks_the_connection_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SQLRequestStore.page

    async def page(self: SQLRequestStore, selection: Selection) -> Page:
        if selection.after >= 3 * PAGE:
            raise StoreUnavailableError("down")
        return await read(self, selection)

    monkeypatch.setattr(SQLRequestStore, "page", page)
    head, body = await answer_of(port, "GET")
    assert head.startswith(b"http/1.1 200")
    assert len(body) > 1000
    with pytest.raises(ValueError, match="invalid literal"):
        joined(body)
