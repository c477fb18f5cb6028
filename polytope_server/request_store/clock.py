"""The clock of the request store, which judges leases, pauses and ages, as a process estimates it.

Machines disagree about the time. What is kept in the store is written and judged by the store's clock, within
its own operations. A process that needs a number at hand takes the last answer of the store, and adds
what has passed since by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from polytope_server.runtime.unavailable import UnavailableError

logger = logging.getLogger(__name__)

#: Seconds between two measurements.
_INTERVAL = 60.0
#: Seconds by which a machine's clock may differ from the store's before that is worth a line in the log.
_TOLERATED = 1.0


class LocalClock:
    """An estimate of the time that `read` tells; before the first measurement, the time of this machine."""

    def __init__(self, read: Callable[[], Awaitable[float]]) -> None:
        self._read = read
        #: What is to be added to the monotonic clock.
        self._offset: float | None = None
        self._observers: list[Callable[[float], None]] = []

    def observe_jumps(self, observer: Callable[[float], None]) -> None:
        """Have `observer` called with the seconds by which the store's clock has jumped, when it has."""
        self._observers.append(observer)

    def now(self) -> float:
        """The store's time, in seconds since the epoch."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    async def measure(self) -> None:
        """Ask the store. Raises :class:`~polytope_server.runtime.unavailable.UnavailableError`.

        The answer is uncertain by half of the round trip: within that the earlier estimate stays.
        """
        asked = time.monotonic()
        answer = await self._read()
        answered = time.monotonic()
        uncertain = (answered - asked) / 2
        offset = answer + uncertain - answered
        before, self._offset = self._offset, offset
        if before is None:
            return
        if abs(offset - before) <= uncertain:
            self._offset = before
            return
        for observer in self._observers:
            observer(offset - before)

    async def compare(self) -> None:
        """Ask the store, and log a warning if the clock of this machine differs. Raises UnavailableError."""
        await self.measure()
        ahead = time.time() - self.now()
        if abs(ahead) > _TOLERATED:
            logger.warning(
                "the clock of this machine is %.1f s %s that of the request store: synchronise both (NTP)",
                abs(ahead),
                "ahead of" if ahead > 0 else "behind",
            )

    async def keep(self) -> None:
        """Measure again and again."""
        while True:
            await asyncio.sleep(_INTERVAL)
            # Who works on the store says so; the estimate goes on meanwhile.
            with suppress(UnavailableError):
                await self.measure()


@asynccontextmanager
async def kept(clock: LocalClock) -> AsyncIterator[None]:
    """Compares a clock with that of this machine at the start, and measures it at intervals until the end."""
    with suppress(UnavailableError):
        await clock.compare()
    measuring = asyncio.create_task(clock.keep())
    try:
        yield
    finally:
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
