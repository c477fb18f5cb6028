"""Child processes that are kept for questions, so that these are answered while all others are busy."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from polytope_server.worker.assignment import Inquiry
from polytope_server.worker.children import Child
from polytope_server.worker.fork_server import ForkServer

#: Seconds after its last question until a child is ended.
_IDLE_TIME = 300.0
#: Seconds for a process that is just being started, when the worker ends.
_START_TIME = 2.0
#: Seconds that a child has for a question, even if the frontend waits no more. The first question about a
#: data source loads libraries and opens files: a child that was ended meanwhile would begin again for the
#: next one, and on a slow machine never answer any.
_TIME = 10.0


class _Place:
    """Room for one child, which the first question starts."""

    def __init__(self, config: dict[str, Any], server: ForkServer) -> None:
        self._config = config
        self._server = server
        self._child: asyncio.Task[Child] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def is_warm(self) -> bool:
        """Whether its child is started, and alive."""
        child = self._child
        return (
            child is not None
            and child.done()
            and not child.cancelled()
            and child.exception() is None
            and child.result().usable
        )

    async def ask(self, inquiry: Inquiry, idle_time: float) -> bytes:
        """The answer of the child, which is ended `idle_time` seconds later unless it is asked again.

        If this is cancelled the child is ended at once, unless it is still starting.
        """
        if self._timer is not None:
            self._timer.cancel()
        try:
            child = await asyncio.shield(self._take())
            try:
                return await child.ask(inquiry)
            finally:
                if not child.usable:
                    self.drop()
        finally:
            self._timer = asyncio.get_running_loop().call_later(idle_time, self.drop)

    def _take(self) -> asyncio.Task[Child]:
        """The child, or another in place of one that died or did not start."""
        if self._child is not None and self._child.done() and not self.is_warm:
            self.drop()
        if self._child is None:
            self._child = asyncio.create_task(Child.start(self._config, self._server))
        return self._child

    def drop(self) -> None:
        """Have the child ended, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            task = asyncio.create_task(_end(child))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the child, and wait until it has ended."""
        if self._timer is not None:
            self._timer.cancel()
        self.drop()
        await asyncio.gather(*self._ending)


async def _end(starting: asyncio.Task[Child]) -> None:
    # Not cancelled at once: a process that is just being started would be left behind.
    await asyncio.wait([starting], timeout=_START_TIME)
    starting.cancel()
    with suppress(Exception, asyncio.CancelledError):
        await (await starting).end()


class QuestionChildren:
    """A few children, started when they are needed and ended when they have been idle for some minutes."""

    def __init__(self, count: int, config: dict[str, Any], server: ForkServer) -> None:
        """`config` is what each child gets; `server` starts them."""
        self.count = count
        #: Seconds for a question until its child is ended, unless more are allowed with it.
        self.time = _TIME
        #: Seconds after its last question until a child is ended.
        self.idle_time = _IDLE_TIME
        #: Questions that are being answered, or wait for a child.
        self.load = 0
        self._places = [_Place(config, server) for _ in range(count)]
        # The last one that was used comes first, so that the others can end.
        self._free: asyncio.LifoQueue[_Place] = asyncio.LifoQueue()
        for place in self._places:
            self._free.put_nowait(place)
        self._work: set[asyncio.Task[bytes]] = set()

    @property
    def started(self) -> int:
        """How many children are started, and alive."""
        return sum(place.is_warm for place in self._places)

    async def ask(self, inquiry: Inquiry, seconds: float) -> bytes:
        """The answer to a question, as JSON; waits for a free child.

        Raises DataSourceError and TemporaryError, and OSError and TimeoutError if a child does not start, or
        does not answer in time. When it is cancelled the child still finishes, and is ready for the next.
        """
        self.load += 1
        try:
            place = await self._free.get()
        except asyncio.CancelledError:
            self.load -= 1
            raise
        work = asyncio.create_task(self._answer(place, inquiry, max(seconds, self.time)))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        return await asyncio.shield(work)

    async def _answer(self, place: _Place, inquiry: Inquiry, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                return await place.ask(inquiry, self.idle_time)
        finally:
            self._free.put_nowait(place)
            self.load -= 1

    async def close(self) -> None:
        """End all of them."""
        for work in self._work:
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.gather(*(place.close() for place in self._places))
