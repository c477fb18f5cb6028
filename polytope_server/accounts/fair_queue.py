"""A fair queue for slots at expensive work, such as a password hash: guesses do not delay other log-ins.

Whether credentials are right is known only after they were checked, so a log-in cannot be refused because
earlier ones failed. The queue decides instead which log-in is checked next:

* Log-ins are in three classes: credentials that were right before (trusted), credentials of which nothing is
  known, and credentials whose address or user name had too many failures (suspect). The classes are served
  in round robin, so a trusted log-in waits for two others of lower classes at most, however many guess.
* Within a class addresses are served in round robin, and within an address user names
  (:mod:`polytope_server.accounts.round_robin`): a log-in waits for one guess of each other address, not for
  all guesses.
* Suspects are paced: one is checked at a time, and after it none for as long as the check took. Guessing gets
  half of one slot, and half its processor time; all other time is for the other classes.
* When too many wait, load is shed: suspects first, and within a class the last log-in of the address and user
  name with most in line.
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
from polytope_server.accounts.round_robin import RoundRobin

_TOO_MANY = "Too many log-ins at a time, please try again later"


class Reputation(Enum):
    """What is known of credentials before they are checked: the class in which they are queued."""

    TRUSTED = auto()
    UNKNOWN = auto()
    SUSPECT = auto()


#: From the first to lose its place to the last.
_SHED_ORDER = (Reputation.SUSPECT, Reputation.UNKNOWN, Reputation.TRUSTED)


@dataclass(frozen=True, slots=True)
class Flow:
    """The log-ins of one class, address and user name; by default what the server itself does."""

    reputation: Reputation = Reputation.TRUSTED
    address: str = ""
    name: str = ""


_OF_SERVER = Flow()
_flow: ContextVar[Flow] = ContextVar("flow", default=_OF_SERVER)


@contextmanager
def in_flow(flow: Flow) -> Iterator[None]:
    """Whatever waits for a slot within this context belongs to that flow."""
    token = _flow.set(flow)
    try:
        yield
    finally:
        _flow.reset(token)


@dataclass(frozen=True, slots=True)
class _Waiter:
    flow: Flow
    granted: asyncio.Future[None]


class FairQueue:
    """Grants a number of slots, in the order that the module describes."""

    def __init__(self, slots: int, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit` bounds those who have a slot and those who wait, together."""
        self._slots = self._free = slots
        self._limit = limit
        self._clock = clock
        self._classes: dict[Reputation, RoundRobin[_Waiter]] = {one: RoundRobin() for one in Reputation}
        self._class_order = deque(Reputation)
        # Also while none is served after a suspect, to pace them.
        self._suspect_is_served = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """The context in which the current flow has a slot.

        Raises :class:`AuthenticationUnavailableError` if its place was shed.
        """
        flow = _flow.get()
        await self._wait_for_slot(flow)
        began = self._clock()
        try:
            yield
        finally:
            self._free += 1
            self._grant_free_slots()
            if flow.reputation is Reputation.SUSPECT:
                await self._pause_suspects(self._clock() - began)

    async def _wait_for_slot(self, flow: Flow) -> None:
        waiter = _Waiter(flow, asyncio.get_running_loop().create_future())
        self._classes[flow.reputation].add(flow.address, flow.name, waiter)
        self._grant_free_slots()
        if self._slots - self._free + sum(map(len, self._classes.values())) > self._limit:
            self._shed_one()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if not waiter.granted.cancelled() and waiter.granted.exception() is None:
                # Granted in the same moment: the slot goes back.
                self._free += 1
                self._suspect_is_served &= flow.reputation is not Reputation.SUSPECT
            self._grant_free_slots()
            raise

    async def _pause_suspects(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            self._suspect_is_served = False
            self._grant_free_slots()

    def _grant_free_slots(self) -> None:
        while self._free and (waiter := self._next_waiter()) is not None:
            if waiter.granted.done():
                continue  # cancelled while it waited
            self._free -= 1
            self._suspect_is_served |= waiter.flow.reputation is Reputation.SUSPECT
            waiter.granted.set_result(None)

    def _next_waiter(self) -> _Waiter | None:
        for reputation in list(self._class_order):
            if reputation is Reputation.SUSPECT and self._suspect_is_served:
                continue
            if (waiter := self._classes[reputation].take()) is not None:
                self._class_order.remove(reputation)
                self._class_order.append(reputation)
                return waiter
        return None

    def _shed_one(self) -> None:
        for reputation in _SHED_ORDER:
            if (waiter := self._classes[reputation].drop_from_longest()) is not None:
                if not waiter.granted.done():
                    waiter.granted.set_exception(AuthenticationUnavailableError(_TOO_MANY))
                return
