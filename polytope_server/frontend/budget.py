"""A limit on what the request store holds, kept without asking the store each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds until a budget that is used up is measured again, and at least how many times the measurement took.
_LEAST_REST, _REST = 1.0, 20.0


class UsedUpError(Exception):
    """There is no room in `budget`, of which `used` is used."""

    def __init__(self, budget: Budget, used: int) -> None:
        super().__init__(used)
        self.budget = budget
        self.used = used


class Budget:
    """What all processes together may store; measured now and then, and counted in between.

    This process does not exceed it. Others may, by what they store between two measurements of theirs.
    """

    def __init__(
        self, most: int, measure: Callable[[], Awaitable[int]], unmeasured: Callable[[int], float]
    ) -> None:
        """`measure` gives how much is used; it may stop at `most`.

        `unmeasured` gives how much may be asked for after a measurement with that result before the next
        one is made. Until the first one nothing counts as used.
        """
        self._most = most
        self._measure = measure
        self._unmeasured = unmeasured
        #: What the last measurement found, and what was taken here since it began.
        self._measured = self._since = 0
        #: What is being stored now: a measurement may have found it, or not.
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._uncertain = False
        self._asked = 0
        self._rested_at = 0.0
        self._turn = asyncio.Lock()

    def reserve(self, amount: int) -> Reservation:
        """The context in which `amount` (1 or more) is stored; given back if that fails.

        Raises UsedUpError, and what the measurement raises, when it is entered.
        """
        return Reservation(self, amount)

    async def begin(self, amount: int) -> None:
        """Count `amount` as what is being stored."""
        async with self._turn:
            await self._ensure_room(amount)
            self._since += amount
            self._open += amount
            self._idle.clear()

    def end(self, amount: int, *, stored: bool) -> None:
        """What was begun has ended."""
        if not stored:
            self._since -= amount
        self._open -= amount
        if not self._open:
            self._idle.set()

    async def _ensure_room(self, amount: int) -> None:
        self._asked += amount
        rested = self._is_short_of(amount) and time.monotonic() >= self._rested_at
        if rested or self._asked > self._unmeasured(self._measured):
            await self._measure_again()
        if self._is_short_of(amount) and self._uncertain:
            # What was being stored may have been counted twice. Nothing more is begun meanwhile.
            await self._idle.wait()
            await self._measure_again()
        if self._is_short_of(amount):
            raise UsedUpError(self, self._measured + self._since)

    def _is_short_of(self, amount: int) -> bool:
        return self._measured + self._since + amount > self._most

    async def _measure_again(self) -> None:
        """Measure."""
        began, stored = time.monotonic(), self._since - self._open
        self._since, uncertain = self._open, self._open > 0
        try:
            self._measured = await self._measure()
        except BaseException:
            self._since += stored
            raise
        self._asked, self._uncertain = 0, uncertain
        now = time.monotonic()
        self._rested_at = now + max(_LEAST_REST, _REST * (now - began))


class Reservation:
    """What :meth:`Budget.reserve` returns."""

    __slots__ = ("_amount", "_budget")

    def __init__(self, budget: Budget, amount: int) -> None:
        self._budget = budget
        self._amount = amount

    async def __aenter__(self) -> None:
        await self._budget.begin(self._amount)

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._budget.end(self._amount, stored=kind is None)
