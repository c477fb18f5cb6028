"""The grid point nearest to a position, on the sphere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polytope_server.grids.ranges import Booleans, Floats, Integers
from polytope_server.grids.rows import Rows

#: Rows on each side of a position that are looked at first. Only near the poles, and beside local grids, the
#: nearest point can be in another one.
_FIRST_REACH = 2
_PAIRS_AT_ONCE = 500_000
#: Distances that differ by less, relative to their square, are equal: sums of floating numbers do.
_SAME = 1e-9


def find_nearest(grid: Rows, latitudes: Floats, longitudes: Floats) -> Integers:
    """The place of the nearest point for each position.

    Of points at the same distance it is the one with the nearest longitude, and of these the first one.

    A row more than d degrees away has no point within d degrees. So rows are looked at from the nearest
    latitude outwards, until the nearest point is nearer than the next row.
    """
    if not (np.isfinite(latitudes).all() and np.isfinite(longitudes).all()):
        raise ValueError("a position is not a pair of finite numbers")
    found = np.empty(len(latitudes), np.int64)
    pending, reach = np.arange(len(latitudes)), _FIRST_REACH
    while len(pending):
        width = min(2 * reach, len(grid.latitudes))
        certain = np.empty(len(pending), bool)
        for part in _slice(len(pending), width):
            chosen = pending[part]
            found[chosen], certain[part] = _search(grid, latitudes[chosen], longitudes[chosen], width)
        pending, reach = pending[~certain], reach * 4
    return found


def _slice(positions: int, width: int) -> Iterator[slice]:
    step = max(_PAIRS_AT_ONCE // width, 1)
    return (slice(begin, begin + step) for begin in range(0, positions, step))


def _search(grid: Rows, latitudes: Floats, longitudes: Floats, width: int) -> tuple[Integers, Booleans]:
    """The nearest point in the `width` rows around each position, whether no other row has a nearer one."""
    number = len(grid.latitudes)
    begin = np.clip(np.searchsorted(grid.ascending, latitudes) - width // 2, 0, number - width)
    window = begin[:, None] + np.arange(width)
    rows = grid.northwards[window]
    places, turns = _find_in_rows(grid, rows, longitudes[:, None])
    squares = _half_chord_squares(latitudes[:, None, None], grid.latitudes[rows][:, :, None], turns)
    best, places, turns = (
        squares.min(axis=(1, 2)),
        places.reshape(len(rows), -1),
        turns.reshape(len(rows), -1),
    )
    same = squares.reshape(len(rows), -1) <= (best * (1 + _SAME) + 1e-20)[:, None]
    closest = np.where(same, turns, np.inf).min(axis=1) + 1e-9
    chosen = np.where(same & (turns <= closest[:, None]), places, np.iinfo(np.int64).max).min(axis=1)
    below = np.where(begin > 0, grid.ascending[begin - 1], -np.inf)
    above = np.where(begin + width < number, grid.ascending[np.minimum(begin + width, number - 1)], np.inf)
    gap = np.minimum(latitudes - below, above - latitudes)
    certain = np.isinf(gap) | (np.sin(np.radians(np.minimum(gap, 180)) / 2) ** 2 > best)
    return chosen, certain


def _find_in_rows(grid: Rows, rows: Integers, longitudes: Floats) -> tuple[Integers, Floats]:
    """The points of each row on both sides of a longitude, and their difference in longitude, in degrees."""
    along = ((longitudes - grid.first[rows]) % 360) / grid.spacing[rows]
    last = grid.counts[rows] - 1
    west = np.minimum(np.floor(along).astype(np.int64), last)
    columns = np.stack((west, np.where(west < last, west + 1, 0)), axis=-1)
    of_points = grid.first[rows][..., None] + columns * grid.spacing[rows][..., None]
    turns = np.abs((longitudes[..., None] - of_points + 180) % 360 - 180)
    return grid.starts[rows][..., None] + columns, turns


def _half_chord_squares(latitude: Floats, others: Floats, turns: Floats) -> Floats:
    """The square of half the straight distance on a unit sphere, by haversines: precise for small ones."""
    latitude, others, turns = np.radians(latitude), np.radians(others), np.radians(turns)
    squares: Floats = (
        np.sin((latitude - others) / 2) ** 2 + np.cos(latitude) * np.cos(others) * np.sin(turns / 2) ** 2
    )
    return squares
