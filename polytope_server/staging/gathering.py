"""The memory in which parts of objects are gathered, where the bytes come from clients, which may stall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from polytope_server.staging import TooSlowError

#: While others wait, a part that is gathered must come at that rate, in bytes a second, over these seconds:
#: what is slower makes room, the slowest first.
_PATIENCE, _RATE = 5.0, 100_000
#: Seconds between two looks at who is too slow.
_LOOK = 1.0


class Place:
    """Where one object gathers its parts, one at a time."""

    def __init__(self, gathering: Gathering, limit: asyncio.Timeout) -> None:
        self._gathering, self._limit = gathering, limit
        #: Bytes of the part that may be gathered; 0 while there is none.
        self.size = 0
        #: Those that have come.
        self.filled = 0
        self._since, self._before = 0.0, 0

    async def enter(self, size: int) -> None:
        """Wait until there is room for a part of `size` bytes."""
        await self._gathering.make_room(size)
        self.size = size
        self._mark(self._gathering.clock())

    def complete(self) -> None:
        """No further bytes are waited for: if it takes time now, its client is not to blame."""
        self._since = float("inf")

    def leave(self) -> None:
        """The part is gathered no more."""
        self._gathering.give_back(self.size)
        self.size = self.filled = 0

    def rate(self, now: float) -> float:
        """Bytes a second that came lately; infinite if that is not known yet."""
        seconds = now - self._since
        if not self.size or seconds < _PATIENCE:
            return float("inf")
        rate = (self.filled - self._before) / seconds
        if seconds >= 2 * _PATIENCE:
            self._mark(now)
        return rate

    def _mark(self, now: float) -> None:
        self._since, self._before = now, self.filled

    def give_up(self) -> None:
        """Let the object end with TooSlowError."""
        self._limit.reschedule(asyncio.get_running_loop().time())


class Gathering:
    """Bounds the bytes of parts that are gathered at a time, of all objects. First come, first served."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        #: In bytes, None for no bound. A part that is larger goes alone.
        self.limit: int | None = None
        self.clock = clock
        #: Bytes of the parts that may be gathered now.
        self.size = 0
        self._places: set[Place] = set()
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """A place for one object. Raises TooSlowError if it has to make room for others."""
        limit = asyncio.timeout(None)
        place = Place(self, limit)
        self._places.add(place)
        try:
            async with limit:
                yield place
        except TimeoutError:
            if not limit.expired():
                raise
            raise TooSlowError("The data came too slowly, while others were waiting to be stored") from None
        finally:
            self._places.discard(place)
            place.leave()

    async def make_room(self, size: int) -> None:
        """Wait until `size` more bytes may be gathered."""
        async with self._turn:
            while self.limit is not None and self.size and self.size + size > self.limit:
                self._left.clear()
                self._give_up_slowest()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await self._left.wait()
            self.size += size

    def give_back(self, size: int) -> None:
        """Release memory of that many bytes."""
        self.size -= size
        self._left.set()

    def _give_up_slowest(self) -> None:
        now = self.clock()
        slowest = min(self._places, key=lambda place: place.rate(now))
        if slowest.rate(now) < _RATE:
            self._places.discard(slowest)
            slowest.give_up()
