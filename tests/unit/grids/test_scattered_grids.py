"""Grids whose points are known one by one: against all points, one after the other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from polytope_server.grids import ScatteredGrid, expand_ranges, scattered

RANDOM = np.random.default_rng(7)
#: All around the Earth, in no order, with some on one parallel and at the poles.
LATITUDES = np.concatenate((np.degrees(np.arcsin(RANDOM.uniform(-1, 1, 3000))), [10.0] * 50, [90.0, -90.0]))
LONGITUDES = np.concatenate((RANDOM.uniform(-180, 180, 3050), [12.0, 0.0]))
SQUARE = [[40, -20], [55, 30], [35, 42], [-10, 5], [40, -20]]
HOLE = [[25, 5], [35, 10], [30, 20], [25, 5]]


@pytest.fixture(scope="module")
def grid() -> ScatteredGrid:
    return scattered(LATITUDES, LONGITUDES, "a sum")


def chords(latitude: float, longitude: float) -> Any:
    """Squares of the straight distances of all points from a position."""

    def place(lat: Any, lon: Any) -> Any:
        lat, lon = np.radians(lat), np.radians(lon)
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    return ((place(LATITUDES, LONGITUDES) - place(latitude, longitude)[:, None]) ** 2).sum(axis=0)


def points_of(ranges: Any) -> list[int]:
    found: list[int] = expand_ranges(ranges).tolist()
    return found


def test_points_keep_their_indices_and_coordinates(grid: ScatteredGrid) -> None:
    latitudes, longitudes = grid.coordinates(np.arange(grid.size))
    assert grid.size == len(LATITUDES)
    assert grid.md5 == "a sum"
    np.testing.assert_array_equal(latitudes, LATITUDES)
    np.testing.assert_allclose(longitudes, LONGITUDES % 360)


def test_the_nearest_point_is_found_on_the_sphere(grid: ScatteredGrid) -> None:
    latitudes = [*RANDOM.uniform(-90, 90, 300), 90, -90, 89.9, 10]
    longitudes = [*RANDOM.uniform(-400, 800, 300), 0, 100, 270, 359.99]
    expected = [chords(*place).min() for place in zip(latitudes, longitudes, strict=True)]
    found = grid.nearest(latitudes, longitudes)
    places = zip(found, latitudes, longitudes, strict=True)
    np.testing.assert_allclose([chords(lat, lon)[n] for n, lat, lon in places], expected, atol=1e-12)


@pytest.mark.parametrize(
    "box", [(-20, -30, 40, 30), (-20, 330, 40, 390), (60, 170, 90, 200), (10, 0, 10, 360)]
)
def test_a_box_has_the_points_between_its_sides(grid: ScatteredGrid, box: Any) -> None:
    south, west, north, east = box
    inside = (south <= LATITUDES) & (north >= LATITUDES) & ((LONGITUDES - west) % 360 <= east - west)
    assert points_of(grid.inside_box(box)) == np.flatnonzero(inside).tolist()
    assert inside.any()


def test_a_polygon_has_the_points_within_and_not_those_of_its_hole(grid: ScatteredGrid) -> None:
    longitudes = (LONGITUDES + 180) % 360 - 180
    inside = _within(SQUARE, longitudes) & ~_within(HOLE, longitudes)
    assert points_of(grid.inside_polygons([[SQUARE, HOLE]])) == np.flatnonzero(inside).tolist()
    assert _within(HOLE, longitudes).any()


def _within(ring: list[list[float]], longitudes: Any) -> Any:
    """By rays to the east."""
    inside = np.zeros(len(LATITUDES), bool)
    for (south, west), (north, east) in pairwise(ring):
        crossed = (south > LATITUDES) != (north > LATITUDES)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = west + (LATITUDES - south) / (north - south) * (east - west)
        inside ^= crossed & (longitudes < at)
    return inside


def test_a_circle_has_the_points_around_its_center(grid: ScatteredGrid) -> None:
    away = np.hypot(LATITUDES - 47, (LONGITUDES - 179 + 180) % 360 - 180)
    assert points_of(grid.inside_circle([47, 179], 12)) == np.flatnonzero(away <= 12).tolist()


def test_positions_far_from_all_points_are_not_covered() -> None:
    latitudes, longitudes = np.meshgrid(np.linspace(40, 50, 41), np.linspace(-5, 15, 81))
    grid = scattered(latitudes.ravel() + longitudes.ravel() / 50, longitudes.ravel())
    assert grid.covers([45, 40.1, 50.2], [0.1, -4.9, 14.9]).tolist() == [True] * 3
    assert grid.covers([45, 38, 60], [17, 0, 0]).tolist() == [False] * 3


@pytest.mark.parametrize(
    ("latitudes", "longitudes"), [([91.0], [0.0]), ([0.0], [np.nan]), ([], []), ([1.0, 2.0], [1.0])]
)
def test_what_are_no_coordinates_is_refused(latitudes: list[float], longitudes: list[float]) -> None:
    with pytest.raises(ValueError, match="point"):
        scattered(latitudes, longitudes)


def test_one_point_is_nearest_to_everything() -> None:
    grid = scattered([12.0], [400.0])
    assert grid.nearest([-80, 12], [0, 40]).tolist() == [0, 0]
    assert grid.coordinates([0])[1].tolist() == [40]
