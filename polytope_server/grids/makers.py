"""Gaussian and regular grids, from what their names say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytope_server.grids.gaussian import gaussian_latitudes
from polytope_server.grids.grid import RowGrid
from polytope_server.grids.orders import Order
from polytope_server.grids.ranges import Floats, Integers
from polytope_server.grids.rows import Rows

#: Of a row of a reduced grid; far more than any has.
_MAX_POINTS_OF_ROW = 2**20


def octahedral(number: int, md5: str | None = None) -> RowGrid:
    """The octahedral reduced Gaussian grid O`number`: 20 points in its first row, 4 more in each next one."""
    half = 16 + 4 * np.arange(1, len(gaussian_latitudes(number)) // 2 + 1)
    return reduced_gaussian(number, np.concatenate((half, half[::-1])), md5=md5)


def reduced_gaussian(
    number: int, counts: Sequence[int] | Integers, northwards: bool = False, md5: str | None = None
) -> RowGrid:
    """A reduced Gaussian grid around the whole Earth.

    Args:
        number: Of rows between a pole and the equator.
        counts: The points of each row (`pl`).
        northwards: Whether the first row is the southernmost one.
        md5: Of the grid section.
    """
    latitudes = gaussian_latitudes(number)
    return reduced(latitudes[::-1] if northwards else latitudes, counts, md5=md5)


def reduced(latitudes: Floats, counts: Sequence[int] | Integers, md5: str | None = None) -> RowGrid:
    """Rows around the whole Earth, each with points of its own number, beginning at Greenwich.

    Grids of waves have rows without points near the poles.
    """
    points = np.asarray(counts, np.int64)
    if len(points) != len(latitudes) or points.min() < 0 or not 0 < points.max() <= _MAX_POINTS_OF_ROW:
        raise ValueError(
            f"a grid of {len(latitudes)} rows needs as many numbers of points, "
            f"up to {_MAX_POINTS_OF_ROW}; it has {len(points)}"
        )
    latitudes, points = latitudes[points > 0], points[points > 0]
    return RowGrid(Rows(latitudes, points, np.zeros(len(points)), 360.0 / points), md5=md5)


def rectangle(
    latitudes: Floats,
    west: float,
    spacing: float,
    columns: int,
    order: Order | None = None,
    md5: str | None = None,
) -> RowGrid:
    """Rows with the same longitudes: regular Gaussian and latitude-longitude grids, global or local.

    Args:
        latitudes: Of the rows, in the order in which they are stored.
        west: The longitude of the western end of the rows.
        spacing: Degrees from one point to the next.
        columns: Points of a row.
        order: How points are stored, if not row by row from west to east.
        md5: Of the grid section.
    """
    number = len(latitudes)
    rows = Rows(
        np.asarray(latitudes, float),
        np.full(number, columns, np.int64),
        np.full(number, float(west)),
        np.full(number, float(spacing)),
    )
    return RowGrid(rows, order, md5)
