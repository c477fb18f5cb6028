"""Areas on the sphere, and edges that cross.

An edge is straight in degrees of latitude and longitude, as a grid point is inside or outside of a ring by
its latitude and longitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

Point = tuple[float, float]
"""Latitude and longitude in degrees."""
Ring = tuple[Point, ...]
"""Points of which the last is the first."""
Edge = tuple[float, float, Point, Point]
"""Least and greatest latitude, then both ends."""

#: Radius of the Earth in kilometres, as the GRIB of most models has it (code table 3.2, entry 6).
_RADIUS = 6371.229
#: Pairs of edges that are compared: a fifth of a second. Of 10,000 points of a coast they are far fewer.
_COMPARISONS = 500_000


class IntricateError(ValueError):
    """There is no time to compare all edges with each other."""


def box_area(south: float, west: float, north: float, east: float) -> float:
    """Square kilometres of a box."""
    height = math.sin(math.radians(north)) - math.sin(math.radians(south))
    return _RADIUS**2 * height * math.radians(east - west)


def cap_area(radius: float) -> float:
    """Square kilometres of a circle whose radius is given in degrees."""
    return 2 * math.pi * _RADIUS**2 * (1 - math.cos(math.radians(min(radius, 180))))


def ring_area(ring: Ring) -> float:
    """Square kilometres inside of a ring: the integral of the sine of the latitude along it."""
    return _RADIUS**2 * abs(sum(map(_under, ring, ring[1:])))


def _under(start: Point, end: Point) -> float:
    (south, west), (north, east) = map(_radians, (start, end))
    if math.isclose(south, north, abs_tol=1e-12):
        return math.sin(south) * (east - west)
    return (math.cos(south) - math.cos(north)) / (north - south) * (east - west)


def _radians(point: Point) -> Point:
    return math.radians(point[0]), math.radians(point[1])


def path_area(points: Iterable[Point], inflation: Point) -> float:
    """Square kilometres that a path covers at most: of each leg, the box moved along it."""
    tall, wide = inflation
    legs = (
        (abs(end[0] - start[0]), abs(end[1] - start[1]), _nearest_to_equator(start[0], end[0], tall))
        for start, end in pairwise(points)
    )
    degree = math.radians(1) * _RADIUS
    return degree**2 * sum(
        (2 * wide * high + 2 * tall * long + 4 * tall * wide) * math.cos(math.radians(latitude))
        for high, long, latitude in legs
    )


def _nearest_to_equator(one: float, other: float, margin: float) -> float:
    south, north = min(one, other) - margin, max(one, other) + margin
    return 0.0 if south <= 0 <= north else min(abs(south), abs(north))


class CrossingSearch:
    """Looks for edges that cross, in the polygons of one request."""

    def __init__(self) -> None:
        self._left = _COMPARISONS

    def find(self, rings: Sequence[Ring]) -> tuple[Point, Point] | None:
        """The starts of two edges that cross, None if no edges do. To touch is not to cross.

        Raises IntricateError where too many edges are at the same latitudes.
        """
        edges = sorted(edge for ring in rings for edge in _edges(ring))
        for number, (_, top, start, end) in enumerate(edges):
            for other in range(number + 1, len(edges)):
                if edges[other][0] > top:
                    break
                self._left -= 1
                if _cross(start, end, *edges[other][2:]):
                    return start, edges[other][2]
            if self._left < 0:
                raise IntricateError
        return None


def _edges(ring: Ring) -> Iterator[Edge]:
    for start, end in pairwise(ring):
        yield min(start[0], end[0]), max(start[0], end[0]), start, end


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments from a to b and from c to d share a point that is no end of either."""
    if max(a[1], b[1]) <= min(c[1], d[1]) or max(c[1], d[1]) <= min(a[1], b[1]):
        return False
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(start: Point, end: Point, point: Point) -> float:
    """On which side of a line a point is: positive, negative, or 0 on it."""
    (ay, ax), (by, bx), (cy, cx) = start, end, point
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
