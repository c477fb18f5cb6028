"""What a shape covers of each row: closed intervals of longitude.

A shape is handled as a flat one, in degrees of latitude and longitude, as the published service does. Its
borders belong to it: a point that is not further outside than :data:`TOLERANCE` is inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from polytope_server.grids.ranges import Floats, Integers, spread

#: Degrees, about 0.1 m. GRIB edition 2 writes coordinates in millionths of a degree.
TOLERANCE = 1e-6
#: How many pairs of a row and a part of a shape are handled at once; bounds the memory.
_PAIRS_AT_ONCE = 500_000


class Intervals(NamedTuple):
    """Each is from `west` eastwards to `east`, in degrees of any turn, in one of the rows."""

    rows: Integers
    west: Floats
    east: Floats


def join_intervals(parts: Iterable[Intervals]) -> Intervals:
    """All intervals of several collections."""
    empty = Intervals(np.empty(0, np.int64), np.empty(0), np.empty(0))
    rows, west, east = zip(empty, *parts, strict=True)
    return Intervals(np.concatenate(rows), np.concatenate(west), np.concatenate(east))


def pair_with_rows(latitudes: Floats, south: Floats, north: Floats) -> Iterator[tuple[Integers, Integers]]:
    """Pair parts of a shape with the rows that they reach, slice by slice.

    Args:
        latitudes: Of the rows, in ascending order.
        south: The southern end of each part.
        north: Its northern end.

    Yields:
        The numbers of parts, and of a row beside each.
    """
    first = np.searchsorted(latitudes, south - TOLERANCE, side="left")
    lengths = np.maximum(np.searchsorted(latitudes, north + TOLERANCE, side="right") - first, 0)
    slices = np.cumsum(lengths) // _PAIRS_AT_ONCE
    for chosen in np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(slices)) + 1):
        yield np.repeat(chosen, lengths[chosen]), spread(first[chosen], lengths[chosen])
