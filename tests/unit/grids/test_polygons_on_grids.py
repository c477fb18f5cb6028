"""Polygons hold the points that looking at every point finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_grids import GRIDS, in_all_turns, selected

from polytope_server import grids
from polytope_server.grids import Ring, count_points, expand_ranges, polygons

NAMES = st.sampled_from(sorted(GRIDS))
#: Many corners and sides are on points, or on rows.
LATITUDES = st.one_of(
    st.integers(-9, 9).map(lambda ten: ten * 10.0), st.integers(-90_000, 90_000).map(lambda n: n / 1000)
)
LONGITUDES = st.one_of(
    st.integers(-36, 36).map(lambda ten: ten * 10.0), st.integers(-360_000, 360_000).map(lambda n: n / 1000)
)
RINGS = st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=3, max_size=8)
REGULAR = GRIDS["regular"]


def surrounded(rings: list[Ring], lats: np.ndarray, lons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether points are in a polygon, by a ray from each; and which ones are near a side, but not on it."""
    inside, on_side, near = (np.zeros(len(lats), bool) for _ in range(3))
    for ring in rings:
        for (y1, x1), (y2, x2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            crossed = (y1 > lats) != (y2 > lats)
            along = (lats - y1) / (y2 - y1) if y1 != y2 else 0.0
            inside ^= crossed & (lons < x1 + along * (x2 - x1))
            length = np.hypot(y2 - y1, x2 - x1) or 1
            time = np.clip(((lats - y1) * (y2 - y1) + (lons - x1) * (x2 - x1)) / length**2, 0, 1)
            away = np.hypot(lats - y1 - time * (y2 - y1), lons - x1 - time * (x2 - x1))
            on_side |= away < 1e-9
            near |= (away >= 1e-9) & (away < 1e-3)
    return inside | on_side, near


def check(name: str, shapes: list[list[Ring]]) -> None:
    grid = GRIDS[name]
    expected, unsure = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    for lats, lons in in_all_turns(grid):
        for rings in shapes:
            inside, near = surrounded(rings, lats, lons)
            expected |= inside
            unsure |= near
    found = selected(grid.inside_polygons(shapes), grid.size)
    assert (found | unsure).tolist() == (expected | unsure).tolist()


@settings(deadline=None)
@given(NAMES, RINGS)
def test_a_polygon_holds_what_its_ring_surrounds(name: str, ring: Ring) -> None:
    check(name, [[ring]])


@settings(deadline=None)
@given(NAMES, st.lists(st.lists(RINGS, min_size=1, max_size=3), max_size=3))
def test_several_polygons_with_holes_hold_what_any_of_them_holds(name: str, shapes: list[list[Ring]]) -> None:
    check(name, shapes)


def box(south: float, west: float, north: float, east: float) -> Ring:
    return [(south, west), (south, east), (north, east), (north, west)]


@pytest.mark.parametrize("name", GRIDS)
def test_a_rectangle_is_a_box(name: str) -> None:
    for south, west, north, east in (
        (-20, -30, 40, 50),
        (50, 350, 60, 370),
        (-90, -180, 90, 180),
        (5, 5, 5, 95),
    ):
        found = GRIDS[name].inside_polygons([[box(south, west, north, east)]])
        assert found.tolist() == GRIDS[name].inside_box((south, west, north, east)).tolist()


def test_a_hole_is_left_out_and_its_sides_are_not() -> None:
    rings = [box(-30, 0, 30, 60), box(-10, 20, 10, 40)]
    assert (
        REGULAR.inside_polygons([rings]).tolist()
        == REGULAR.inside_frame((-30, 0, 30, 60), (-10, 20, 10, 40)).tolist()
    )


def test_polygons_that_overlap_are_one() -> None:
    first, second = box(-30, 0, 30, 60), box(-10, 20, 10, 90)
    together = {
        *expand_ranges(REGULAR.inside_polygons([[first]])),
        *expand_ranges(REGULAR.inside_polygons([[second]])),
    }
    assert {*expand_ranges(REGULAR.inside_polygons([[first], [second]]))} == together


def test_corners_that_only_touch_a_row_are_inside() -> None:
    found = expand_ranges(REGULAR.inside_polygons([[[(1, 1), (10, 10), (1, 9)]]])).tolist()
    assert found == [8 * 36 + 1]


def test_turning_a_ring_or_closing_it_changes_nothing() -> None:
    ring = [(-31, 7), (22, 13), (47, 61), (3, 99)]
    expected = REGULAR.inside_polygons([[ring]]).tolist()
    for other in (ring[::-1], [*ring, ring[0]], ring[2:] + ring[:2]):
        assert REGULAR.inside_polygons([[other]]).tolist() == expected


def test_no_polygon_holds_nothing() -> None:
    assert REGULAR.inside_polygons([]).shape == (0, 2)
    assert REGULAR.inside_polygons([[[]]]).shape == (0, 2)


def test_a_polygon_of_many_sides_is_done_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grids.octahedral(64)
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack((60 * np.sin(angles) + 5 * np.sin(40 * angles), 80 * np.cos(angles)), axis=1).tolist()
    whole = grid.inside_polygons([[ring]])
    assert count_points(whole) > 1000
    for pairs in (1000, 1):
        monkeypatch.setattr(polygons, "_CROSSINGS_AT_ONCE", pairs)
        assert grid.inside_polygons([[ring]]).tolist() == whole.tolist()
