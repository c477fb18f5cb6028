"""A grid: its rows of points, and how they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polytope_server.grids.areas import Box, cover_box, cover_frame
from polytope_server.grids.intervals import Intervals, join_intervals
from polytope_server.grids.nearest import find_nearest
from polytope_server.grids.orders import Order
from polytope_server.grids.paths import cover_box_path, cover_round_path
from polytope_server.grids.polygons import Ring, cover_polygon
from polytope_server.grids.ranges import (
    Booleans,
    Floats,
    Integers,
    Ranges,
    TooManyPointsError,
    collect_indices,
    count_points,
    expand_ranges,
)
from polytope_server.grids.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class RowGrid:
    """The points of a grid, which are arithmetic.

    Latitudes and longitudes are degrees; longitudes may be of any turn. An index counts the points as they
    are stored. Each `inside_...` gives the ranges of indices of the points in a shape, its borders included;
    shapes are flat in degrees, see :mod:`polytope_server.grids.intervals`. With `at_most` it raises
    TooManyPointsError, before it takes memory for them, if there are more.
    """

    rows: Rows
    #: How points are stored, if not row by row from west to east.
    order: Order | None = None
    #: Of the grid section of the GRIB messages (`md5GridSection` of ecCodes), if it is known.
    md5: str | None = None

    @property
    def size(self) -> int:
        """The number of points."""
        return int(self.rows.starts[-1])

    def with_md5(self, md5: str | None) -> RowGrid:
        """The same points, in messages with another grid section."""
        return replace(self, md5=md5)

    def nearest(self, latitudes: Sequence[float] | Floats, longitudes: Sequence[float] | Floats) -> Integers:
        """The index of the point nearest to each position, by the great circle.

        Of points at the same distance it is the one with the nearest longitude, and of these the first row,
        and the western point.
        """
        places = find_nearest(self.rows, np.asarray(latitudes, float), np.asarray(longitudes, float))
        return self.order.to_indices(places) if self.order else places

    def coordinates(self, indices: Sequence[int] | Integers) -> tuple[Floats, Floats]:
        """The latitudes and the longitudes (at least 0, less than 360) of points, as GRIB has them."""
        places = np.asarray(indices, np.int64)
        rows, longitudes = self.rows.locate(self.order.to_places(places) if self.order else places)
        return self.rows.latitudes[rows], longitudes % 360

    def covers(self, latitudes: Sequence[float] | Floats, longitudes: Sequence[float] | Floats) -> Booleans:
        """Whether each position is in the area of the grid, or at most one spacing outside of it."""
        lats, lons = np.asarray(latitudes, float), np.asarray(longitudes, float)
        ascending = self.rows.ascending
        gap = np.diff(ascending).max() if len(ascending) > 1 else 180
        rows = self.rows.northwards[np.minimum(np.searchsorted(ascending, lats), len(ascending) - 1)]
        width, spacing = self.rows.counts[rows] * self.rows.spacing[rows], self.rows.spacing[rows]
        east = (lons - self.rows.first[rows]) % 360
        inside: Booleans = (ascending[0] - gap <= lats) & (lats <= ascending[-1] + gap)
        return inside & ((east <= width) | (east >= 360 - spacing))

    def inside_box(self, box: Box, at_most: int | None = None) -> Ranges:
        """The points in a box (south, west, north, east), which goes eastwards from west to east."""
        return self._find_indices(cover_box(self.rows.ascending, box), at_most)

    def inside_frame(self, outer: Box, inner: Box, at_most: int | None = None) -> Ranges:
        """The points in the outer box that are not within the inner one. Its borders belong to the frame."""
        return self._find_indices(cover_frame(self.rows.ascending, outer, inner), at_most)

    def inside_polygons(self, polygons: Sequence[Sequence[Ring]], at_most: int | None = None) -> Ranges:
        """The points in any of several polygons, each of which is its outer ring and rings around holes.

        A ring is pairs of latitude and longitude. It need not repeat the first one, and may turn either way.
        Sides are straight in degrees: across the date line a polygon has longitudes beyond 180.
        """
        parts = [cover_polygon(self.rows.ascending, rings) for rings in polygons]
        return self._find_indices(join_intervals(parts), at_most)

    def inside_circle(self, center: Sequence[float], radius: float, at_most: int | None = None) -> Ranges:
        """The points at most `radius` degrees from the center, in the plane of latitude and longitude."""
        return self.inside_round_path([center], [radius, radius], at_most=at_most)

    def inside_round_path(
        self,
        points: Sequence[Sequence[float]],
        radii: Sequence[float],
        at: Sequence[float] = (),
        at_most: int | None = None,
    ) -> Ranges:
        """The points that an ellipse, or ellipsoid, sweeps on its way through points.

        Args:
            points: Each is a latitude, a longitude, and the values of further axes. Between two points the
                path is straight in degrees, and goes the shorter way around the Earth.
            radii: The half axes of the ellipsoid along each axis, in its unit.
            at: The values of the further axes of the field in question: `[850, 12]` for points with levels
                and steps.
            at_most: How many points are accepted.
        """
        return self._find_indices(cover_round_path(self.rows.ascending, points, radii, at), at_most)

    def inside_box_path(
        self,
        points: Sequence[Sequence[float]],
        lower: Sequence[float],
        upper: Sequence[float],
        at: Sequence[float] = (),
        at_most: int | None = None,
    ) -> Ranges:
        """The points that a box sweeps on its way through points, as for :meth:`inside_round_path`.

        Args:
            points: As there.
            lower: Where the box begins along each axis, relative to the point where it is.
            upper: Where it ends.
            at: As there.
            at_most: As there.
        """
        return self._find_indices(cover_box_path(self.rows.ascending, points, lower, upper, at), at_most)

    def _find_indices(self, intervals: Intervals, at_most: int | None) -> Ranges:
        ranges = self.rows.find_places(intervals)
        points = count_points(ranges)
        if at_most is not None and points > at_most:
            raise TooManyPointsError(points, at_most)
        return collect_indices(self.order.to_indices(expand_ranges(ranges))) if self.order else ranges
