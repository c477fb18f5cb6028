"""Rows of constant latitude, in each of which the points are equally spaced."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from polytope_server.grids.intervals import TOLERANCE, Intervals
from polytope_server.grids.ranges import Floats, Integers, Ranges, merge_ranges


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The points of a grid, counted row by row, each row from west to east: their *places*."""

    #: Of each row.
    latitudes: Floats
    #: Points of each row; all rows have some.
    counts: Integers
    #: The longitude of the western end of each row.
    first: Floats
    #: Degrees from one point of a row to the next, positive.
    spacing: Floats
    #: The place of the first point of each row, and the end of the last.
    starts: Integers = field(init=False)
    #: The latitudes from south to north, and the rows in that order.
    ascending: Floats = field(init=False)
    northwards: Integers = field(init=False)

    def __post_init__(self) -> None:
        northwards = np.argsort(self.latitudes, kind="stable")
        object.__setattr__(self, "starts", np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64))))
        object.__setattr__(self, "northwards", northwards)
        object.__setattr__(self, "ascending", self.latitudes[northwards])

    def locate(self, places: Integers) -> tuple[Integers, Floats]:
        """The rows of places, and their longitudes, east of that of the row's western end."""
        rows = np.searchsorted(self.starts, places, side="right") - 1
        return rows, self.first[rows] + (places - self.starts[rows]) * self.spacing[rows]

    def find_places(self, intervals: Intervals) -> Ranges:
        """The ranges of the points in intervals, of which the rows count from south to north."""
        rows = self.northwards[intervals.rows]
        first, spacing = self.first[rows], self.spacing[rows]
        width = np.minimum(intervals.east - intervals.west, 360)
        west = (intervals.west - first + TOLERANCE) % 360 - TOLERANCE
        begins, ends = [], []
        # From the row's western end an interval begins within the first turn, and may reach into the second.
        for turn in (0, 360):
            begin = np.ceil((west - turn - TOLERANCE) / spacing).astype(np.int64)
            end = np.floor((west - turn + width + TOLERANCE) / spacing).astype(np.int64) + 1
            begins.append(self.starts[rows] + np.maximum(begin, 0))
            ends.append(self.starts[rows] + np.minimum(end, self.counts[rows]))
        return merge_ranges(np.concatenate(begins), np.concatenate(ends))
