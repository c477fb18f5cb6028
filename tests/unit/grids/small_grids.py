"""Small grids of all kinds, and answers about them that come from looking at every point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polytope_server import grids
from polytope_server.grids import RowGrid
from polytope_server.grids.orders import Columns, FlippedRows

HALF_OF_8 = [20 + 4 * row for row in range(8)]


def _flipped() -> RowGrid:
    order = FlippedRows(np.arange(7) * 5, np.array([True, False] * 3))
    return grids.rectangle(np.linspace(60, 50, 6), 10, 2.5, 5, order=order)


GRIDS: dict[str, RowGrid] = {
    "octahedral": grids.octahedral(8),
    "reduced northwards": grids.reduced_gaussian(4, [18, 25, 36, 40, 40, 36, 25, 18], northwards=True),
    "regular": grids.rectangle(np.linspace(90, -90, 19), 0, 10, 36),
    "regular northwards": grids.rectangle(np.linspace(-90, 90, 13), -180, 15, 24),
    "local": grids.rectangle(np.linspace(60, 50, 11), 352, 1, 21),
    "local across the date line": grids.rectangle(np.linspace(-5, 5, 6), 170.5, 2.5, 9),
    "by columns": grids.rectangle(np.linspace(60, 50, 6), -10, 2, 8, order=Columns(6, 8)),
    "by columns from the east": grids.rectangle(np.linspace(60, 50, 6), -10, 2, 8, order=Columns(6, 8, True)),
    "rows both ways": _flipped(),
    "ring": grids.healpix(4),
    "ring of no power of two": grids.healpix(3),
    "nested": grids.healpix(4, nested=True),
    "one point": grids.rectangle(np.array([10.0]), 20, 360, 1),
}


def all_points(grid: RowGrid) -> tuple[np.ndarray, np.ndarray]:
    return grid.coordinates(np.arange(grid.size))


def distances(grid: RowGrid, latitude: float, longitude: float) -> np.ndarray:
    """Of all points from a position, in a straight line through a unit sphere."""
    latitudes, longitudes = (np.radians(values) for values in all_points(grid))
    here, there = np.radians(latitude), np.radians(longitude)
    points = np.stack(
        (np.cos(latitudes) * np.cos(longitudes), np.cos(latitudes) * np.sin(longitudes), np.sin(latitudes))
    )
    position = np.array([np.cos(here) * np.cos(there), np.cos(here) * np.sin(there), np.sin(here)])
    return np.linalg.norm(points - position[:, None], axis=0)


def in_all_turns(grid: RowGrid) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All points, with longitudes in each turn that a shape of a test may be in."""
    latitudes, longitudes = all_points(grid)
    for turn in range(-4, 5):
        yield latitudes, longitudes + 360 * turn


def selected(ranges: np.ndarray, size: int) -> np.ndarray:
    """Whether each index is in the ranges, which must be as they are promised to be."""
    assert ranges.dtype == np.int64
    assert ranges.shape[1:] == (2,)
    assert (ranges[:, 0] < ranges[:, 1]).all()
    assert (ranges[1:, 0] > ranges[:-1, 1]).all()
    chosen = np.zeros(size, bool)
    for begin, end in ranges:
        assert begin >= 0
        assert end <= size
        chosen[begin:end] = True
    return chosen
