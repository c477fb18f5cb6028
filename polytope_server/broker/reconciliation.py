"""Brings what the broker knows of waiting requests up to date with the store, in small steps.

Range-based set reconciliation: of a range of sequences both sides form a digest. Where the digests are equal,
nothing is read; where they differ, the range is divided, and a small one is read. The first pass, when
nothing is known, reads everything, in slices. Each pass ends with what comes after the newest request known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from polytope_server.broker.schedule import Schedule
from polytope_server.request_store import Digest, RequestStore, RequestSummary

#: Requests in one slice: a few milliseconds of the event loop.
SLICE = 500
#: Requests known in a range of which one digest is formed at first, and parts into which it is divided.
_RANGE, _PARTS = 16_000, 16
#: A range with fewer known requests is read, not divided.
_SMALL = _RANGE // _PARTS


@dataclass(frozen=True, slots=True)
class _Range:
    """The sequences with `after` < sequence <= `until` (None: all behind)."""

    after: int
    until: int | None


class Reconciliation:
    """Passes over the waiting requests of the store; each makes a schedule agree with it.

    Between two steps anything may happen to both. `admit` is called with what was found waiting.
    """

    def __init__(
        self, schedule: Schedule, store: RequestStore, admit: Callable[[list[RequestSummary]], None]
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._admit = admit
        #: What is before it has been read, at some time.
        self._covered = 0
        #: Whether a pass has come to the end.
        self._complete = False
        #: Where the pass is: what is before it agreed. None between two passes.
        self._compared: int | None = None
        self._differing: list[tuple[int, int]] = []
        self._reading: _Range | None = None

    @property
    def running(self) -> bool:
        """Whether a pass is under way."""
        return self._compared is not None

    def start(self) -> None:
        """Begin a pass, in place of one that is under way. What was read before is compared only."""
        if self._complete:
            self._covered = max(self._covered, self._schedule.newest())
        self._compared = 0
        self._differing.clear()
        self._reading = None

    async def step(self) -> None:
        """Read one slice or compare one range, and let the event loop go round.

        Raises :class:`~polytope_server.request_store.StoreUnavailableError`; the next call goes on there.
        """
        if self._reading is not None:
            await self._read_range(self._reading)
        elif self._differing:
            await self._compare_range(*self._differing[-1])
        elif self._compared is not None:
            await self._choose_range(self._compared)
        await asyncio.sleep(0)  # a store in this process may not have waited for anything

    async def _choose_range(self, after: int) -> None:
        if after >= self._covered:
            self._reading = _Range(after, None)
            return
        until = self._schedule.boundary(after, self._covered, _RANGE) or self._covered
        self._differing.append((after, until))
        self._compared = until

    async def _compare_range(self, after: int, until: int) -> None:
        known = [summary.sequence for summary in self._schedule.waiting(after, until)]
        # One more than is known suffices to see that there are more.
        stored = await self._store.digest(after, until, len(known) + 1)
        self._differing.pop()
        if stored == Digest.of(known):
            return
        parts = [] if len(known) <= _SMALL else _divide_range(after, until, known)
        if len(parts) > 1:
            self._differing += reversed(parts)
        else:
            self._reading = _Range(after, until)

    async def _read_range(self, span: _Range) -> None:
        found = await self._store.waiting(span.after, span.until, SLICE)
        end = found[-1].sequence if found else span.until
        stored = {summary.id for summary in found}
        gone = [known.id for known in self._schedule.waiting(span.after, end) if known.id not in stored]
        for request_id in gone:
            self._schedule.remove(request_id)
        if found:
            self._admit(found)
            self._reading = _Range(found[-1].sequence, span.until)
            if span.until is None:
                self._covered = self._compared = found[-1].sequence
        else:
            self._reading = None
            if span.until is None:
                self._complete = True
                self._compared = None


def _divide_range(after: int, until: int, known: list[int]) -> list[tuple[int, int]]:
    """Parts of a range with about as many known requests in each."""
    size = -(-len(known) // _PARTS)
    ends = [*known[size - 1 :: size], until]
    return [part for part in pairwise([after, *ends]) if part[0] < part[1]]
