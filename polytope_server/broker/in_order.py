"""Waiting requests in the order of submission, with what a list costs and no more. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from operator import attrgetter

from polytope_server.request_store import RequestSummary

_sequence = attrgetter("sequence")
#: A list that holds no more of what has left than this is not tidied.
_FEW = 16


class InOrder:
    """A list of summaries, sorted by their sequence.

    Of `waiting` it keeps those that were added. What has left `waiting` is skipped, and forgotten when it is
    more than the rest. Requests come nearly in order: to add one costs nothing that grows with their number.
    """

    __slots__ = ("_left", "_start", "_summaries", "_waiting")

    def __init__(self, waiting: Mapping[str, RequestSummary]) -> None:
        self._waiting = waiting
        self._summaries: list[RequestSummary] = []
        #: Everything before it has left.
        self._start = 0
        #: How many of the others may have.
        self._left = 0

    def add(self, summary: RequestSummary) -> None:
        """Add a request, which must be among those that wait."""
        summaries = self._summaries
        if not summaries or summaries[-1].sequence < summary.sequence:
            summaries.append(summary)
            return
        position = bisect_left(summaries, summary.sequence, key=_sequence)
        self._start = min(self._start, position)
        while position < len(summaries) and summaries[position].sequence == summary.sequence:
            if summaries[position] is summary:  # it had left, and is back
                return
            position += 1
        summaries.insert(position, summary)

    def left(self) -> None:
        """One of the requests no longer waits."""
        self._left += 1
        if self._left > _FEW + len(self._summaries) // 2:
            self._summaries = [summary for summary in self._summaries if self._waits(summary)]
            self._start = self._left = 0

    def first(self) -> RequestSummary | None:
        """The first request that waits."""
        for position in range(self._start, len(self._summaries)):
            if self._waits(self._summaries[position]):
                self._start = position
                return self._summaries[position]
        self._start = len(self._summaries)
        return None

    def last(self) -> RequestSummary | None:
        """The last request that waits."""
        while self._summaries and not self._waits(self._summaries[-1]):
            self._summaries.pop()
        self._start = min(self._start, len(self._summaries))
        return self._summaries[-1] if self._summaries else None

    def between(self, after: int, until: int | None) -> Iterator[RequestSummary]:
        """The requests that wait with `after` < sequence <= `until`. Nothing may be added meanwhile."""
        start = bisect_right(self._summaries, after, key=_sequence)
        end = len(self._summaries)
        if until is not None:
            end = bisect_right(self._summaries, until, lo=start, key=_sequence)
        for position in range(start, end):
            if self._waits(self._summaries[position]):
                yield self._summaries[position]

    def _waits(self, summary: RequestSummary) -> bool:
        return self._waiting.get(summary.id) is summary
