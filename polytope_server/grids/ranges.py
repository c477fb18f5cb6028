"""Ranges of indices: an int64 array of shape (n, 2), half-open, in ascending order, none touching another."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]
Ranges: TypeAlias = NDArray[np.int64]

NO_RANGES: Ranges = np.empty((0, 2), np.int64)


class TooManyPointsError(ValueError):
    """A shape holds more points of the grid than were asked for at most."""

    def __init__(self, points: int, at_most: int) -> None:
        super().__init__(f"{points} points of the grid, where at most {at_most} are accepted")
        self.points = points
        self.at_most = at_most


def count_points(ranges: Ranges) -> int:
    """The number of indices in ranges."""
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def merge_ranges(starts: Integers, ends: Integers) -> Ranges:
    """The ranges that cover what the given ones cover, which may be empty, overlap, and come in any order."""
    filled = starts < ends
    starts, ends = starts[filled], ends[filled]
    if not len(starts):
        return NO_RANGES
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], starts[1:] > reached[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.column_stack((starts[first], reached[last]))


def expand_ranges(ranges: Ranges) -> Integers:
    """All indices in ranges, in ascending order."""
    lengths = ranges[:, 1] - ranges[:, 0]
    return spread(ranges[:, 0], lengths)


def collect_indices(indices: Integers) -> Ranges:
    """The ranges of indices that may repeat, and come in any order."""
    return merge_ranges(indices, indices + 1)


def spread(starts: Integers, lengths: Integers) -> Integers:
    """`start, start + 1 ...`, as many as the length says, for each start."""
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
