"""Ordinary users: each submits, polls, downloads and lists, with pauses, on one connection."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks import load
from testbed.server import basic

API = "/api/v1"
#: Seconds between two rounds of a user, on average, and between two polls.
_PAUSE, _POLL_PAUSE = 1.0, 0.1
#: An answer that takes longer is lost.
_PATIENCE = 30.0


@dataclass
class Seen:
    """What users saw: seconds of each call that was answered as it should be, and what failed."""

    times: list[float] = field(default_factory=list)
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Line:
    """One connection, made again when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: bytes) -> load.Reply:
        """The reply to a request; OSError if there is none."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(load.HOST, self._port)
            reader, writer = self._streams
            writer.write(request)
            buffer = b""
            while True:
                data = await reader.read(1 << 20)
                if not data:
                    raise ConnectionResetError("the connection was closed")
                buffer += data
                reply, rest = load.parse(buffer)
                if reply is not None:
                    assert not rest
                    return reply
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def use(port: int, users: list[str], seconds: float) -> Seen:
    """Let all users work for so long."""
    seen = Seen()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_User(port, name, seen).work(until) for name in users))
    return seen


class _User:
    def __init__(self, port: int, name: str, seen: Seen) -> None:
        self._line = Line(port)
        self._seen = seen
        self._who = basic(name, f"{name}'s password")
        self._submit = load.message(
            "POST", f"{API}/requests/echo", self._who, {"verb": "retrieve", "request": "benchmark"}
        )
        self._list = load.message("GET", f"{API}/requests", self._who)
        self._random = random.Random(name)

    async def work(self, until: float) -> None:
        await asyncio.sleep(self._random.random() * min(_PAUSE, until - time.monotonic()))
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._round()
            except (OSError, load.LoadError) as error:  # a TimeoutError is an OSError
                self._seen.failed += 1
                self._seen.reasons[f"{type(error).__name__}: {error}"[:200]] += 1
            await asyncio.sleep(self._random.random() * 2 * _PAUSE)
        self._line.close()

    async def _round(self) -> None:
        """One call of each kind is timed; how often a request is polled until it has ended is not."""
        submitted = await self._timed(self._submit, 202)
        poll = load.message(
            "GET", f"{API}/requests/{load.request_id(submitted)}", {**self._who, "Prefer": "wait=0"}
        )
        reply = await self._line.call(poll)
        while reply.status == 202:
            await asyncio.sleep(_POLL_PAUSE)
            reply = await self._line.call(poll)
        place = (await self._timed(poll, 303)).header(b"location").decode()
        await self._timed(load.message("GET", f"{API}/{place.removeprefix('../')}"), 200)
        await self._timed(self._list, 200)

    async def _timed(self, request: bytes, status: int) -> load.Reply:
        started = time.perf_counter()
        reply = load.check(await self._line.call(request), status)
        self._seen.times.append(time.perf_counter() - started)
        return reply
