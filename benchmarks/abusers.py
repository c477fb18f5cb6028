"""Abusers, in a process of their own: `python -m benchmarks.abusers TARGETS`, which says `ready` and goes on.

Each kind does one thing again and again, and comes again when it is refused or hung up on. They call from
other addresses than the ordinary users do, so that bounds for an address can tell them apart.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

import uvloop

from benchmarks import load
from testbed.server import basic

_API = "/api/v1"
#: Addresses of this machine that ordinary users do not have.
_ADDRESSES = [f"127.0.0.{number}" for number in range(2, 6)]
#: How many of each kind there are.
_RANGES, _LISTS, _HEADS, _DOWNLOADS, _UPLOADS, _FILLERS = 5, 3, 300, 50, 20, 2
#: Between two tries after a refusal, in seconds: the rate of an attack is not what is measured.
_PAUSE = 0.1
#: Seconds for which a download is left alone before the next one.
_UNREAD = 20
_UPLOAD = 100 << 20
#: What can be asked for when nothing else ends it, and what instead where that would fill the disk.
_ENDLESS, _LARGE = 10**12, 32 << 20


@dataclass(frozen=True)
class Targets:
    """What is abused: a server, a user, the path of a large result, and those of uploads that are awaited.

    `endless` says whether a result may be asked for that fills the disk.
    """

    port: int
    user: str
    download: str
    uploads: list[str]
    endless: bool

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class _Abusers:
    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._who = basic(targets.user, f"{targets.user}'s password")
        self._addresses = itertools.cycle(_ADDRESSES)
        #: Those who have not yet begun what they do.
        self._beginning = 0
        self._all_begun = asyncio.Event()

    async def run(self) -> None:
        """Never ends."""
        kinds: list[tuple[int, Callable[[int], Awaitable[None]]]] = [
            (_RANGES, self._send_costly_texts),
            (_LISTS, self._list),
            (_HEADS, self._begin_a_head),
            (_DOWNLOADS, self._download_and_never_read),
            (_UPLOADS, self._upload_and_stall),
            (_FILLERS, self._fill_the_disk),
        ]
        async with asyncio.TaskGroup() as group:
            for count, kind in kinds:
                self._beginning += count
                for number in range(count):
                    group.create_task(self._again_and_again(kind, number))
            await self._all_begun.wait()
            print("ready", flush=True)

    async def _again_and_again(self, kind: Callable[[int], Awaitable[None]], number: int) -> None:
        first = True
        while True:
            task = asyncio.ensure_future(kind(number))
            if first:
                await asyncio.wait([task], timeout=1.0)
                first = False
                self._beginning -= 1
                if not self._beginning:
                    self._all_begun.set()
            with suppress(OSError, load.LoadError, asyncio.IncompleteReadError):
                await task
            await asyncio.sleep(_PAUSE)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Little is buffered here: what is not read is to stay with the server.
        return await asyncio.open_connection(
            load.HOST, self._targets.port, local_addr=(next(self._addresses), 0), limit=1 << 12
        )

    async def _send_costly_texts(self, number: int) -> None:
        texts = itertools.cycle(
            (
                "date=17531201/to/-1",
                f"date=20200101, a=x{' ' * 60_000}y",
                f"a: [{'1,' * 30_000}]",
                f"s: &s {'x' * 6000}\na: [{'*s,' * 10_000}]",
            )
        )
        reader, writer = await self._connect()
        try:
            for text in texts:
                body = {"verb": "retrieve", "request": text}
                writer.write(load.message("POST", f"{_API}/requests/dated", self._who, body))
                await _reply(reader)
        finally:
            writer.close()

    async def _list(self, number: int) -> None:
        reader, writer = await self._connect()
        headers = {**self._who, "Connection": "close"}
        try:
            writer.write(load.message("GET", f"{_API}/requests/held", headers))
            while await reader.read(1 << 20):
                pass
        finally:
            writer.close()

    async def _begin_a_head(self, number: int) -> None:
        reader, writer = await self._connect()
        try:
            writer.write(b"GET /api/v1/test HTTP/1.1\r\nHost: x\r\n")
            await reader.read()
        finally:
            writer.close()

    async def _download_and_never_read(self, number: int) -> None:
        reader, writer = await self._connect()
        try:
            writer.write(load.message("GET", self._targets.download))
            await reader.readuntil(b"\r\n\r\n")
            # Whether the server has hung up is not to be seen without reading.
            await asyncio.sleep(_UNREAD)
        finally:
            writer.close()

    async def _upload_and_stall(self, number: int) -> None:
        path = self._targets.uploads[number % len(self._targets.uploads)]
        reader, writer = await self._connect()
        headers = {**self._who, "X-Checksum": "0" * 32, "Content-Length": str(_UPLOAD)}
        try:
            writer.write(load.message("POST", path, headers) + bytes(1 << 20))
            answered = asyncio.ensure_future(reader.read())
            while not answered.done():
                await asyncio.wait([answered], timeout=1)
                writer.write(b"x")
            await answered
        finally:
            writer.close()

    async def _fill_the_disk(self, number: int) -> None:
        size = _ENDLESS if self._targets.endless else _LARGE
        reader, writer = await self._connect()
        body = {"verb": "retrieve", "request": size}
        try:
            writer.write(load.message("POST", f"{_API}/requests/dummy", self._who, body))
            place = load.request_id(load.check(await _reply(reader), 202))
            poll = load.message("GET", f"{_API}/requests/{place}", self._who)
            status = 202
            while status == 202:
                await asyncio.sleep(_PAUSE)
                writer.write(poll)
                status = (await _reply(reader)).status
            writer.write(load.message("DELETE", f"{_API}/requests/{place}", self._who))
            await _reply(reader)
        finally:
            writer.close()


async def _reply(reader: asyncio.StreamReader) -> load.Reply:
    """The next reply on a connection that has one at a time."""
    buffer = b""
    while data := await reader.read(1 << 20):
        buffer += data
        reply, _ = load.parse(buffer)
        if reply is not None:
            return reply
    raise load.LoadError("the server closed a connection")


if __name__ == "__main__":
    uvloop.run(_Abusers(Targets(**json.loads(sys.argv[1]))).run())
