"""Boxes, frames and circles hold the points that looking at every point finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_grids import GRIDS, in_all_turns, selected

from polytope_server import grids
from polytope_server.grids import TooManyPointsError, count_points, expand_ranges

NAMES = st.sampled_from(sorted(GRIDS))
#: Thousandths of degrees, and often whole ones, on which points of the grids are.
DEGREES = st.one_of(st.integers(-720_000, 720_000).map(lambda number: number / 1000), st.integers(-360, 360))
PARALLELS = st.one_of(st.integers(-90_000, 90_000).map(lambda number: number / 1000), st.integers(-90, 90))
SLACK = 2e-6


def in_box(name: str, south: float, west: float, north: float, east: float) -> np.ndarray:
    found = np.zeros(GRIDS[name].size, bool)
    for lats, lons in in_all_turns(GRIDS[name]):
        found |= (
            (south - SLACK < lats) & (lats < north + SLACK) & (west - SLACK < lons) & (lons < east + SLACK)
        )
    return found


@settings(deadline=None)
@given(NAMES, PARALLELS, DEGREES, PARALLELS, st.integers(0, 400_000))
def test_a_box_holds_the_points_between_its_sides(
    name: str, south: float, west: float, north: float, width: int
) -> None:
    south, north = sorted((south, north))
    east = west + width / 1000
    grid = GRIDS[name]
    ranges = grid.inside_box((south, west, north, east))
    assert selected(ranges, grid.size).tolist() == in_box(name, south, west, north, east).tolist()


def test_the_borders_of_a_box_are_part_of_it() -> None:
    ranges = GRIDS["regular"].inside_box((-10, 350, 10, 370))
    assert [tuple(divmod(index, 36)) for index in expand_ranges(ranges).tolist()] == [
        (row, column) for row in (8, 9, 10) for column in (0, 1, 35)
    ]


def test_borders_hold_for_points_whose_longitudes_are_sums() -> None:
    tenths = grids.rectangle(np.array([0.0]), 0, 0.1, 3600)
    for tenth in range(0, 3600, 7):
        edge = round(tenth * 0.1, 1)
        assert tenths.inside_box((0, edge, 0, edge)).tolist() == [[tenth, tenth + 1]]


def test_a_box_whose_east_is_the_smaller_one_crosses_the_date_line() -> None:
    grid = GRIDS["regular"]
    assert grid.inside_box((0, 170, 0, -170)).tolist() == grid.inside_box((0, 170, 0, 190)).tolist()
    assert expand_ranges(grid.inside_box((0, 170, 0, -170))).tolist() == [
        9 * 36 + 17,
        9 * 36 + 18,
        9 * 36 + 19,
    ]


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("box", [(-90, -180, 90, 180), (-90, 0, 90, 360), (-90, 17.3, 90, 400)])
def test_a_box_around_the_earth_is_one_range(name: str, box: grids.Box) -> None:
    assert GRIDS[name].inside_box(box).tolist() == [[0, GRIDS[name].size]]


def test_the_poles_are_in_boxes_that_reach_them() -> None:
    assert GRIDS["regular"].inside_box((90, -180, 90, 180)).tolist() == [[0, 36]]
    assert GRIDS["regular"].inside_box((-90, 5, -90, 15)).tolist() == [[18 * 36 + 1, 18 * 36 + 2]]


def test_a_box_between_points_is_empty() -> None:
    assert GRIDS["regular"].inside_box((1, 1, 9, 9)).tolist() == []
    assert GRIDS["nested"].inside_box((1, 1, 1.001, 1.001)).shape == (0, 2)


@pytest.mark.parametrize("name", GRIDS)
def test_more_points_than_are_accepted_are_counted_and_refused(name: str) -> None:
    grid = GRIDS[name]
    with pytest.raises(TooManyPointsError) as raised:
        grid.inside_box((-90, 0, 90, 360), at_most=grid.size - 1)
    assert raised.value.points == grid.size
    assert count_points(grid.inside_box((-90, 0, 90, 360), at_most=grid.size)) == grid.size


@settings(deadline=None)
@given(
    NAMES,
    st.tuples(PARALLELS, PARALLELS),
    DEGREES,
    st.integers(0, 360_000),
    st.tuples(PARALLELS, PARALLELS),
    DEGREES,
    st.integers(0, 360_000),
)
def test_a_frame_is_a_box_without_the_points_within_another(
    name: str,
    outer: tuple[float, float],
    west: float,
    width: int,
    inner: tuple[float, float],
    hole_west: float,
    hole_width: int,
) -> None:
    grid = GRIDS[name]
    (south, north), (hole_south, hole_north) = sorted(outer), sorted(inner)
    east, hole_east = west + width / 1000, hole_west + hole_width / 1000
    within = np.zeros(grid.size, bool)
    for lats, lons in in_all_turns(grid):
        rows = (hole_south + SLACK < lats) & (lats < hole_north - SLACK)
        within |= rows & (hole_west + SLACK < lons) & (lons < hole_east - SLACK)
    ranges = grid.inside_frame((south, west, north, east), (hole_south, hole_west, hole_north, hole_east))
    expected = in_box(name, south, west, north, east) & ~within
    assert selected(ranges, grid.size).tolist() == expected.tolist()


def test_the_inner_border_belongs_to_a_frame() -> None:
    found = expand_ranges(GRIDS["regular"].inside_frame((-30, 0, 30, 60), (-10, 20, 10, 40)))
    missing = [9 * 36 + 3]
    assert (
        sorted({*expand_ranges(GRIDS["regular"].inside_box((-30, 0, 30, 60))).tolist()} - {*found.tolist()})
        == missing
    )


@settings(deadline=None)
@given(NAMES, PARALLELS, DEGREES, st.integers(1, 100_000))
def test_a_circle_holds_the_points_within_its_radius(
    name: str, south: float, west: float, radius: int
) -> None:
    grid, reach = GRIDS[name], radius / 1000
    near, sure = np.zeros(grid.size, bool), np.ones(grid.size, bool)
    for lats, lons in in_all_turns(grid):
        away = np.hypot(lats - south, lons - west)
        near |= away <= reach
        sure &= np.abs(away - reach) > 1e-4
    found = selected(grid.inside_circle((south, west), reach), grid.size)
    assert found[sure].tolist() == near[sure].tolist()


def test_points_on_a_circle_are_in_it() -> None:
    found = expand_ranges(GRIDS["regular"].inside_circle((0, 0), 10)).tolist()
    assert found == [8 * 36, 9 * 36, 9 * 36 + 1, 9 * 36 + 35, 10 * 36]
