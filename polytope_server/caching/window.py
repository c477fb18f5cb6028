"""Counts what happened lately, across all processes that share a cache.

The library `limits` was looked at for this. With a storage of one's own its strategies only pass calls on;
its own storages bring other drivers for each server, know whole seconds only, and raise when theirs is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from polytope_server.caching import JSON, Cache

_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class Count:
    """How much there was in the last window, and when there will be less."""

    previous: int
    current: int
    #: Which part of the present window is over, and how many seconds the whole has.
    passed: float
    seconds: float

    @property
    def total(self) -> float:
        """What happened in the last `seconds`, as if the previous window's had come evenly."""
        return self.previous * (1 - self.passed) + self.current

    @property
    def reset(self) -> float:
        """Seconds until the next window begins."""
        return (1 - self.passed) * self.seconds

    def wait(self, most: float) -> float:
        """Seconds until `total` is no more than `most`, if nothing else happens; `most` is not negative."""
        if self.total <= most:
            return 0.0
        if self.current <= most:
            return (1 - (most - self.current) / self.previous - self.passed) * self.seconds
        return self.reset + (1 - most / self.current) * self.seconds


class SlidingWindow:
    """Counts by name, in two numbers for each name: this window's, and that of the window before.

    Windows begin at the same time in all processes, whose clocks must be synchronised.
    """

    def __init__(
        self, cache: Cache, prefix: str, seconds: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`prefix` begins the names in the cache; `seconds` is how far the counter looks back."""
        self._cache = cache
        self._prefix = prefix
        self._seconds = seconds
        self._clock = clock

    async def add(self, name: str, amount: int = 1) -> Count | None:
        """The count with `amount` more; None if the cache is down."""
        number, passed = self._locate_now()
        previous, current = await asyncio.gather(
            self._cache.get(self._make_key(name, number - 1)),
            self._cache.add(self._make_key(name, number), amount, 2 * self._seconds),
        )
        return None if current is None else self._count(previous, current, passed)

    async def look(self, name: str) -> Count:
        """The count as it is; nothing if the cache is down."""
        number, passed = self._locate_now()
        previous, current = await asyncio.gather(
            *(self._cache.get(self._make_key(name, n)) for n in (number - 1, number))
        )
        return self._count(previous, current, passed)

    def _locate_now(self) -> tuple[int, float]:
        number, rest = divmod(self._clock(), self._seconds)
        return int(number), rest / self._seconds

    def _make_key(self, name: str, number: int) -> str:
        return f"{self._prefix}:{name}:{number}"

    def _count(self, previous: JSON, current: JSON, passed: float) -> Count:
        return Count(_number(previous), _number(current), passed, self._seconds)


def _number(value: JSON) -> int:
    # Two calls that gave back what they had added across an edge may leave less than nothing; who else can
    # write to the cache may leave a number that no float holds.
    return min(max(value, 0), _MOST) if isinstance(value, int) else 0
