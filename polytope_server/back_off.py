"""Exponential back-off: the pauses between attempts at something that fails."""

from __future__ import annotations

#: Beyond as many failures no pause is below its longest one, and a float does not overflow.
_MOST_DOUBLINGS = 60


def exponential(first: float, longest: float, failures: int) -> float:
    """Seconds to pause after that many failures in a row: `first`, doubled by each further one."""
    return min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest)


class BackOff:
    """Counts the failures of something that is tried until it succeeds."""

    def __init__(self, first: float, longest: float) -> None:
        """`first` and `longest` are pauses in seconds."""
        self._first = first
        self._longest = longest
        #: Attempts that have failed since the last success.
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; returns the seconds to pause before the next attempt."""
        self.failures += 1
        return exponential(self._first, self._longest, self.failures)

    def succeeded(self) -> None:
        """Begin again with the first pause."""
        self.failures = 0
