"""Waiting requests in the order of submission, with what a list costs and no more. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from operator import attrgetter

from polytope_server.request_store import Sketch

_sequence = attrgetter("sequence")
#: A list that holds no more of what has left than this is not tidied.
_FEW = 16


class InOrder:
    """A list of sketches, sorted by their sequence.

    Of `waiting` it keeps those that were added. What has left `waiting` is skipped, and forgotten when it is
    more than the rest. Requests come nearly in order: to add one costs nothing that grows with their number.
    """

    __slots__ = ("_left", "_sketches", "_start", "_waiting")

    def __init__(self, waiting: Mapping[str, Sketch]) -> None:
        self._waiting = waiting
        self._sketches: list[Sketch] = []
        #: Everything before it has left.
        self._start = 0
        #: How many of the others may have.
        self._left = 0

    def add(self, sketch: Sketch) -> None:
        """Add a request, which must be among those that wait."""
        sketches = self._sketches
        if not sketches or sketches[-1].sequence < sketch.sequence:
            sketches.append(sketch)
            return
        position = bisect_left(sketches, sketch.sequence, key=_sequence)
        self._start = min(self._start, position)
        while position < len(sketches) and sketches[position].sequence == sketch.sequence:
            if sketches[position] is sketch:  # it had left, and is back
                return
            position += 1
        sketches.insert(position, sketch)

    def left(self) -> None:
        """One of the requests no longer waits."""
        self._left += 1
        if self._left > _FEW + len(self._sketches) // 2:
            self._sketches = [sketch for sketch in self._sketches if self._waits(sketch)]
            self._start = self._left = 0

    def first(self) -> Sketch | None:
        """The first request that waits."""
        for position in range(self._start, len(self._sketches)):
            if self._waits(self._sketches[position]):
                self._start = position
                return self._sketches[position]
        self._start = len(self._sketches)
        return None

    def last(self) -> Sketch | None:
        """The last request that waits."""
        while self._sketches and not self._waits(self._sketches[-1]):
            self._sketches.pop()
        self._start = min(self._start, len(self._sketches))
        return self._sketches[-1] if self._sketches else None

    def between(self, after: int, until: int | None) -> Iterator[Sketch]:
        """The requests that wait with `after` < sequence <= `until`. Nothing may be added meanwhile."""
        start = bisect_right(self._sketches, after, key=_sequence)
        end = len(self._sketches)
        if until is not None:
            end = bisect_right(self._sketches, until, lo=start, key=_sequence)
        for position in range(start, end):
            if self._waits(self._sketches[position]):
                yield self._sketches[position]

    def _waits(self, sketch: Sketch) -> bool:
        return self._waiting.get(sketch.id) is sketch
