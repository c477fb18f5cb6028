"""Polygons with holes: what they cover of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from polytope_server.grids.intervals import TOLERANCE, Intervals, join_intervals, pair_with_rows
from polytope_server.grids.ranges import Floats, spread

#: Latitude and longitude of each corner. The last one is joined to the first.
Ring = Sequence[Sequence[float]]
_CROSSINGS_AT_ONCE = 500_000


def cover_polygon(latitudes: Floats, rings: Sequence[Ring]) -> Intervals:
    """The intervals of a polygon.

    Its inside is what an odd number of rings surrounds: holes are rings inside of another. Its sides are
    straight in degrees of latitude and longitude, and belong to it, those of holes too. They are not
    shortened across the date line: a polygon there has longitudes beyond 180.

    Args:
        latitudes: Of the rows, in ascending order.
        rings: Of the polygon.
    """
    corners = [np.asarray(ring, float).reshape(-1, 2) for ring in rings if len(ring)]
    if not corners:
        return join_intervals(())
    starts = np.concatenate(corners)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in corners])
    return join_intervals((*_fill_inside(latitudes, starts, ends), *_follow_borders(latitudes, starts, ends)))


def _fill_inside(latitudes: Floats, starts: Floats, ends: Floats) -> Iterator[Intervals]:
    """From each odd crossing of a row with the sides to the next one."""
    south, north = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    # A corner on a row counts for the side above it only, so that the crossings of a row are even.
    first, last = np.searchsorted(latitudes, south), np.searchsorted(latitudes, north)
    block = max(_CROSSINGS_AT_ONCE // len(starts), 1)
    for low in range(int(first.min()), int(last.max()), block):
        begin, end = np.maximum(first, low), np.minimum(last, low + block)
        lengths = np.maximum(end - begin, 0)
        sides = np.repeat(np.arange(len(starts)), lengths)
        rows = spread(begin, lengths)
        along = (latitudes[rows] - starts[sides, 0]) / (ends[sides, 0] - starts[sides, 0])
        crossings = starts[sides, 1] + along * (ends[sides, 1] - starts[sides, 1])
        order = np.lexsort((crossings, rows))
        yield Intervals(rows[order][::2], crossings[order][::2], crossings[order][1::2])


def _follow_borders(latitudes: Floats, starts: Floats, ends: Floats) -> Iterator[Intervals]:
    """The corners and the sides that are on a row: where a polygon only touches it."""
    flat = np.abs(starts[:, 0] - ends[:, 0]) <= TOLERANCE
    last = np.where(flat, ends[:, 1], starts[:, 1])
    west, east = np.minimum(starts[:, 1], last), np.maximum(starts[:, 1], last)
    for sides, rows in pair_with_rows(latitudes, starts[:, 0], starts[:, 0]):
        yield Intervals(rows, west[sides], east[sides])
