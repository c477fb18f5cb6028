"""The body of a call, in chunks."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.http import shell as asgi
from polytope_server.http.shell import StalledError, body
from polytope_server.testing.staging import chunked

CHUNKS = [bytes([number]) * 100_000 for number in range(10)]


def call(chunks: AsyncIterator[bytes]) -> Any:
    return SimpleNamespace(stream=chunks)


@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
async def test_it_is_whole_however_late_it_is(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop tells the time at which it woke up, which may be long ago."""
    monkeypatch.setattr(asgi, "_SUCCESSION", seconds)
    assert [chunk async for chunk in body(call(chunked(CHUNKS)), 10.0)] == CHUNKS


async def test_it_may_be_empty() -> None:
    assert [chunk async for chunk in body(call(chunked([])), 10.0)] == []


async def test_one_that_stalls_is_given_up() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(StalledError, match=r"^No data came for 0\.01 seconds$"):
        [chunk async for chunk in body(call(stalling()), 0.01)]
