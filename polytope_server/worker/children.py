"""The worker's side of its child processes: start them, keep them warm, talk to them, end them."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from polytope_server.datasource import DataSourceError, TemporaryError, WornOutError
from polytope_server.worker.assignment import Assignment, Inquiry
from polytope_server.worker.fork_server import ChildProcess, ForkServer
from polytope_server.worker.frames import HEADER, MAX_DATA, Frame, header
from polytope_server.worker.report import Report

logger = logging.getLogger(__name__)

_CRASHED = "The data source ended unexpectedly."
_PAUSE = 0.2
#: Seconds for a child to import and prepare its data sources.
_START_TIME = 120.0
#: Seconds for a child to end by itself.
_LAST_WORDS = 2.0
_TEXTS = (Frame.NOTE, Frame.PROGRESS)


class Child:
    """One child process; does one job at a time."""

    def __init__(
        self, process: ChildProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._idle = True
        self._report: Report | None = None
        #: The size of the current result in bytes, if the data source knows it before.
        self.announced: int | None = None

    @classmethod
    async def start(cls, config: dict[str, Any], server: ForkServer) -> Child:
        """Start a process and wait until its data sources are prepared. Raises TemporaryError, OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await server.start(theirs)
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 21)
        child = cls(process, reader, writer)
        try:
            child._send_frame(Frame.CONFIG, json.dumps(config).encode())
            async with asyncio.timeout(_START_TIME):
                await child._receive_frame()
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def ended(self) -> int:
        """Wait for the end of the process; returns its exit status."""
        return await self._process.wait()

    @property
    def usable(self) -> bool:
        """Whether it can take another job: alive, and done with the last one."""
        return self._idle and self._process.returncode is None and not self._reader.at_eof()

    def _send_frame(self, frame: Frame, body: bytes = b"") -> None:
        self._writer.write(header(frame, len(body)) + body)

    async def _receive_frame(self) -> tuple[Frame, bytes]:
        try:
            kind, size = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            if size > MAX_DATA:
                logger.error("a child sent a frame of %d bytes; at most %d were expected", size, MAX_DATA)
                raise TemporaryError(_CRASHED)
            return Frame(kind), await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TemporaryError(_CRASHED) from error

    async def run(
        self, assignment: Assignment, data: AsyncIterator[bytes] | None = None, report: Report | None = None
    ) -> tuple[str, AsyncIterator[bytes]]:
        """Do an assignment with `data` as its input: the media type of the result, and its bytes.

        What the data source says to the user goes to `report`. The child is free again when the bytes were
        read to the end. Raises DataSourceError and TemporaryError as the data source did, TemporaryError too
        when the process died, WornOutError when another one is to do it; so may the bytes.
        """
        self._idle = False
        self.announced = None
        self._report = report
        self._send_frame(Frame.JOB, assignment.encode())
        answer = asyncio.create_task(self._receive_answer())
        try:
            if data is not None:
                await self._send_input(data, answer)
            frame, body = await answer
        finally:
            answer.cancel()
        if frame is Frame.SIZE:
            self.announced = int(body)
            frame, body = await self._receive_answer()
        self._raise_failure(frame, body)
        return body.decode(), self._receive_result()

    async def _receive_answer(self) -> tuple[Frame, bytes]:
        """The next frame about the job itself; texts for the user are passed on meanwhile."""
        while (received := await self._receive_frame())[0] in _TEXTS:
            frame, text = received[0], received[1].decode(errors="replace")
            if self._report is not None:
                (self._report.note if frame is Frame.NOTE else self._report.progress)(text)
        return received

    async def ask(self, inquiry: Inquiry) -> bytes:
        """What a data source answers to a question, as JSON. Raises DataSourceError and TemporaryError."""
        self._idle = False
        self._send_frame(Frame.QUESTION, inquiry.encode())
        frame, body = await self._receive_frame()
        self._raise_failure(frame, body)
        self._idle = True
        return body

    async def _send_input(
        self, data: AsyncIterator[bytes], answer: asyncio.Task[tuple[Frame, bytes]]
    ) -> None:
        """Send the input, until its end or until the child has answered (and ignores the rest)."""
        with suppress(ConnectionError):  # the child died: the missing answer shows it
            async for chunk in data:
                if answer.done():
                    break
                self._send_frame(Frame.DATA, chunk)
                await self._writer.drain()
            self._send_frame(Frame.END)

    async def _receive_result(self) -> AsyncIterator[bytes]:
        while True:
            frame, body = await self._receive_answer()
            if frame is Frame.END:
                self._idle = True
                return
            self._raise_failure(frame, body)
            yield body

    def _raise_failure(self, frame: Frame, body: bytes) -> None:
        if frame is Frame.WORN_OUT:  # the process ends
            raise WornOutError("a process was replaced")
        if frame is Frame.EXHAUSTED:  # the process ends, and is not used again
            raise DataSourceError(body.decode(errors="replace"))
        if frame is Frame.FAILED:
            self._idle = True
            raise DataSourceError(body.decode(errors="replace"))
        if frame is Frame.RETRY:
            self._idle = True
            raise TemporaryError(body.decode(errors="replace"))

    async def end(self) -> None:
        """Let an idle process end by itself; one that is busy, or takes longer, is killed."""
        self._writer.close()
        if self._idle:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await self.ended()
        await self.kill()

    async def kill(self) -> None:
        """End the process at once, whatever it does.

        One that hangs in the kernel (on a file system that does not answer) ends when that answers. It is not
        waited for longer than for last words.
        """
        self._process.kill()
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self.ended()
        except TimeoutError:
            logger.error("the child process %d does not end", self.pid)
        self._writer.transport.abort()
        with suppress(OSError):  # what was still to be sent has no receiver
            await self._writer.wait_closed()


class Slot:
    """Room for one request, which takes a child when it needs one."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self.child: Child | None = None

    async def take(self) -> Child:
        """Take a free child for this request, in place of the one that it has; waits for one."""
        if self.child is not None:
            given_up, self.child = self.child, None
            await self._children.replace(given_up)
        self.child = await self._children.take()
        return self.child


class Children:
    """A fixed number of warm children; one that died or had to be ended is replaced."""

    def __init__(self, count: int, config: dict[str, Any], server: ForkServer) -> None:
        """`server` is closed with them."""
        self._count = count
        self._config = config
        self._server = server
        self._all: set[Child] = set()
        self._free: asyncio.Queue[Child] = asyncio.Queue()
        self._starting: set[asyncio.Task[None]] = set()
        self._retired = False

    def start(self, ready: Callable[[], None]) -> None:
        """Start all of them; `ready` is called each time that one has become free for a further job."""
        self._ready = ready
        for _ in range(self._count):
            self._start_replacement(ready)

    def retire(self) -> None:
        """Start no further ones: the worker is about to stop."""
        self._retired = True

    def _start_replacement(self, ready: Callable[[], None]) -> None:
        if self._retired:
            return
        task = asyncio.create_task(self._start_one(ready))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_one(self, ready: Callable[[], None]) -> None:
        while not self._retired:
            try:
                child = await Child.start(self._config, self._server)
            except (TemporaryError, OSError, TimeoutError):
                logger.warning("a child process did not start; trying again")
                await asyncio.sleep(_PAUSE)
                continue
            self._all.add(child)
            self._free.put_nowait(child)
            ready()
            return

    def living(self) -> set[Child]:
        """The children that have started, whatever they do."""
        return set(self._all)

    def slots(self, busy: int) -> dict[str, int]:
        """How many requests can run, by state, while `busy` of them do."""
        free = sum(child.usable for child in self.living()) if not self._retired else 0
        free = max(0, min(free, self._count - busy))
        return {"busy": busy, "free": free, "starting": max(0, self._count - busy - free)}

    async def take(self) -> Child:
        """A free child; waits for one."""
        while True:
            child = await self._free.get()
            if child.usable:
                return child
            # It died while it was idle.
            await self.replace(child)

    async def replace(self, child: Child) -> None:
        """Give up a child whose place is taken by the caller: no further one becomes free."""
        await self._discard_child(child, ready=lambda: None)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Room for one request; in the end it is free for another."""
        slot = Slot(self)
        try:
            yield slot
        finally:
            if slot.child is None:
                self._ready()
            else:
                await self.give_back(slot.child)

    async def give_back(self, child: Child) -> None:
        """Return a child, in whatever state it is."""
        if child.usable:
            self._free.put_nowait(child)
            self._ready()
        else:
            await self._discard_child(child, self._ready)

    async def _discard_child(self, child: Child, ready: Callable[[], None]) -> None:
        self._all.discard(child)
        self._start_replacement(ready)
        await child.kill()

    async def close(self) -> None:
        """End all of them."""
        self.retire()
        # Not cancelled at once: a process that is just being started would be left behind.
        if self._starting:
            _, late = await asyncio.wait(self._starting, timeout=_LAST_WORDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*(child.end() for child in self.living()))
        await self._server.close()
