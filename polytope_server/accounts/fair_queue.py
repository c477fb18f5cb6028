"""Turns at something that is dear, such as a hash: nobody waits for somebody else's guesses.

Whether credentials are right is known only when they were checked, so that a check cannot be refused because
earlier ones failed. What can be done is to say who is next:

* Those who showed right credentials before, those of whom nothing is known, and those whose address or user
  name had too many failures, take turns. So a log-in with credentials that were right lately never waits for
  more than two others, however many guess.
* Within each of these groups addresses take turns, and for each address user names do. So a log-in waits for
  one guess of each other address at most, not for all of them.
* Of the third group one is checked at a time, with a rest of equal length after it: guesses have half of one
  slot, and half the processor time of it, while the others have all the rest.
* When there are too many, one of those gives way of whose address, and of whose user name there, most wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto

from polytope_server.accounts.errors import AuthenticationUnavailableError

_TOO_MANY = "Too many log-ins at a time, please try again later"


class Standing(Enum):
    """What is known of credentials before they are checked."""

    TRUSTED = auto()
    UNKNOWN = auto()
    SUSPECT = auto()


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom something is done; by default for the server itself."""

    standing: Standing = Standing.TRUSTED
    address: str = ""
    name: str = ""


_SERVER = Asker()
_asker: ContextVar[Asker] = ContextVar("asker", default=_SERVER)


@contextmanager
def asking(asker: Asker) -> Iterator[None]:
    """What takes a turn within the context takes that of `asker`."""
    token = _asker.set(asker)
    try:
        yield
    finally:
        _asker.reset(token)


@dataclass(frozen=True, slots=True)
class _Place:
    asker: Asker
    granted: asyncio.Future[None]


class Turns:
    """Gives turns at so many slots."""

    def __init__(self, slots: int, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit` bounds those who have a slot and those who wait, together."""
        self._slots = self._free = slots
        self._limit = limit
        self._clock = clock
        self._lanes = {standing: _Lanes() for standing in Standing}
        self._order = deque(Standing)
        self._suspect_is_served = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The context in which the current asker has a slot.

        Raises :class:`AuthenticationUnavailableError` if this one has to give way to others.
        """
        asker = _asker.get()
        await self._wait(asker)
        began = self._clock()
        try:
            yield
        finally:
            self._free += 1
            self._serve()
            if asker.standing is Standing.SUSPECT:
                await self._rest(self._clock() - began)

    async def _wait(self, asker: Asker) -> None:
        place = _Place(asker, asyncio.get_running_loop().create_future())
        self._lanes[asker.standing].add(place)
        self._serve()
        if self._slots - self._free + sum(map(len, self._lanes.values())) > self._limit:
            self._make_room()
        try:
            await place.granted
        except asyncio.CancelledError:
            if not place.granted.cancelled() and place.granted.exception() is None:
                # It was granted in the same moment.
                self._free += 1
                self._suspect_is_served &= asker.standing is not Standing.SUSPECT
            self._serve()
            raise

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            self._suspect_is_served = False
            self._serve()

    def _serve(self) -> None:
        while self._free and (place := self._next()) is not None:
            if place.granted.done():
                continue  # gone meanwhile
            self._free -= 1
            self._suspect_is_served |= place.asker.standing is Standing.SUSPECT
            place.granted.set_result(None)

    def _next(self) -> _Place | None:
        for standing in list(self._order):
            if standing is Standing.SUSPECT and self._suspect_is_served:
                continue
            if (place := self._lanes[standing].take()) is not None:
                self._order.remove(standing)
                self._order.append(standing)
                return place
        return None

    def _make_room(self) -> None:
        for standing in (Standing.SUSPECT, Standing.UNKNOWN, Standing.TRUSTED):
            if (place := self._lanes[standing].give_way()) is not None:
                if not place.granted.done():
                    place.granted.set_exception(AuthenticationUnavailableError(_TOO_MANY))
                return


class _Lanes:
    """Those who wait, by address and by name."""

    def __init__(self) -> None:
        # In the order in which they are served; no lane is empty.
        self._addresses: dict[str, dict[str, deque[_Place]]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, place: _Place) -> None:
        names = self._addresses.setdefault(place.asker.address, {})
        names.setdefault(place.asker.name, deque()).append(place)
        self._waiting += 1

    def take(self) -> _Place | None:
        """The next one; its address and its name are last then."""
        if not self._addresses:
            return None
        address, names = next(iter(self._addresses.items()))
        name, lane = next(iter(names.items()))
        place = lane.popleft()
        self._waiting -= 1
        del names[name]
        if lane:
            names[name] = lane
        del self._addresses[address]
        if names:
            self._addresses[address] = names
        return place

    def give_way(self) -> _Place | None:
        """The last one of the longest lane of the address with most."""
        if not self._addresses:
            return None
        address = max(self._addresses, key=lambda one: sum(map(len, self._addresses[one].values())))
        names = self._addresses[address]
        name = max(names, key=lambda one: len(names[one]))
        place = names[name].pop()
        self._waiting -= 1
        if not names[name]:
            del names[name]
        if not names:
            del self._addresses[address]
        return place
