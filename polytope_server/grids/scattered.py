"""Grids without a closed form: projections, and unstructured ones. Their points are known one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytope_server.grids.grid import RowGrid
from polytope_server.grids.nearest import find_nearest
from polytope_server.grids.ranges import Booleans, Floats, Integers
from polytope_server.grids.rows import Rows

#: Points at which the distance to the next one is measured.
_SAMPLES = 16
MAX_POINTS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Shuffled:
    """Points in any order, which is kept for both directions."""

    indices: Integers
    places: Integers

    def to_indices(self, places: Integers) -> Integers:
        return self.indices[places]

    def to_places(self, indices: Integers) -> Integers:
        return self.places[indices]


@dataclass(frozen=True, slots=True, eq=False)
class ScatteredGrid(RowGrid):
    """Points that are no rows: each is a row of its own."""

    #: The distance, in degrees on the sphere, up to which a position belongs to the nearest point.
    reach: float = 180.0

    def covers(self, latitudes: Sequence[float] | Floats, longitudes: Sequence[float] | Floats) -> Booleans:
        lats, lons = np.asarray(latitudes, float), np.asarray(longitudes, float)
        places = find_nearest(self.rows, lats, lons)
        away = _vectors(lats, lons) - _vectors(self.rows.latitudes[places], self.rows.first[places])
        covered: Booleans = (away**2).sum(axis=0) <= (2 * np.sin(np.radians(self.reach) / 2)) ** 2
        return covered


def scattered(
    latitudes: Sequence[float] | Floats, longitudes: Sequence[float] | Floats, md5: str | None = None
) -> ScatteredGrid:
    """The grid that has points at these coordinates, in degrees, in the order in which they are stored.

    Raises:
        ValueError: They are no coordinates of points.
    """
    lats, lons = np.asarray(latitudes, float), np.asarray(longitudes, float)
    if lats.ndim != 1 or lats.shape != lons.shape or not 1 <= len(lats) <= MAX_POINTS:
        raise ValueError(f"{lats.shape} latitudes and {lons.shape} longitudes are no points of a grid")
    if not (np.isfinite(lons).all() and (np.abs(lats) <= 90).all()):
        raise ValueError("a coordinate of a point is not a number of degrees")
    indices = np.lexsort((lons, lats))
    places = np.empty_like(indices)
    places[indices] = np.arange(len(indices))
    lats, lons = lats[indices], lons[indices] % 360
    # PERF: one number each for all rows, instead of as many as there are points.
    counts, spacing = np.broadcast_to(np.int64(1), lats.shape), np.broadcast_to(360.0, lats.shape)
    rows = Rows(lats, counts, lons, spacing)
    return ScatteredGrid(rows, Shuffled(indices, places), md5, 2 * _find_spacing(lats, lons))


def _find_spacing(latitudes: Floats, longitudes: Floats) -> float:
    """Degrees from a point to the next one: the widest of some samples; 90 if there is one point."""
    vectors, widest = _vectors(latitudes, longitudes), 0.0
    for sample in np.unique(np.linspace(0, len(latitudes) - 1, _SAMPLES).astype(np.int64)):
        squares = ((vectors - vectors[:, sample, None]) ** 2).sum(axis=0)
        squares[sample] = np.inf
        widest = max(widest, float(squares.min()))
    return float(np.degrees(2 * np.arcsin(min(np.sqrt(widest) / 2, np.sin(np.pi / 4)))))


def _vectors(latitudes: Floats, longitudes: Floats) -> Floats:
    """Points on a sphere whose radius is 1: x, y and z."""
    lats, lons = np.radians(latitudes), np.radians(longitudes)
    return np.stack((np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)))


def from_coordinates(handle: int) -> ScatteredGrid | None:
    """The grid of a message by the coordinates that ecCodes computes, such as those of projections.

    None where the message does not say where its points are.
    """
    import eccodes

    try:
        if not 1 <= eccodes.codes_get(handle, "numberOfDataPoints") <= MAX_POINTS:
            return None
        latitudes, longitudes = (eccodes.codes_get_array(handle, key) for key in ("latitudes", "longitudes"))
        return scattered(latitudes, longitudes, eccodes.codes_get(handle, "md5GridSection"))
    except (eccodes.CodesInternalError, ValueError):
        return None
