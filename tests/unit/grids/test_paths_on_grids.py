"""Paths hold the points that are near enough to them at some time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_grids import GRIDS, in_all_turns, selected

from polytope_server import grids
from polytope_server.grids import count_points, expand_ranges, intervals

NAMES = st.sampled_from(sorted(GRIDS))
HALF_UNITS = st.integers(-160, 160).map(lambda number: number / 2)
#: Of latitude, longitude, level and step.
POINTS = st.lists(st.tuples(HALF_UNITS, HALF_UNITS, HALF_UNITS, HALF_UNITS), min_size=2, max_size=5)
RADII = st.lists(st.integers(1, 40), min_size=4, max_size=4)
AXES = st.integers(2, 4)


def lines(points: list[tuple[float, ...]], axes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The starts and the moves of the lines between points, of which no two are half a turn apart."""
    corners = np.array(points)[:, :axes]
    return [(start, end - start) for start, end in pairwise(corners)]


@settings(deadline=None)
@given(NAMES, POINTS, RADII, AXES, st.tuples(HALF_UNITS, HALF_UNITS))
def test_a_round_path_holds_the_points_that_its_ellipsoid_sweeps(
    name: str, points: list[tuple[float, ...]], radii: list[int], axes: int, at: tuple[float, float]
) -> None:
    grid = GRIDS[name]
    near, unsure = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    for lats, lons in in_all_turns(grid):
        values = np.stack((lats, lons, *(np.full(grid.size, value) for value in at[: axes - 2])))
        for start, move in lines(points, axes):
            # The nearest place on the line, where the ellipsoid is a unit sphere.
            speed = move / radii[:axes]
            away = (values - start[:, None]) / np.array(radii[:axes])[:, None]
            time = np.clip(speed @ away / max(speed @ speed, 1e-12), 0, 1)
            distance = np.linalg.norm(away - speed[:, None] * time, axis=0)
            near |= distance <= 1
            unsure |= np.abs(distance - 1) < 1e-4
    found = selected(
        grid.inside_round_path([point[:axes] for point in points], radii[:axes], at[: axes - 2]), grid.size
    )
    assert (found | unsure).tolist() == (near | unsure).tolist()


@settings(deadline=None)
@given(NAMES, POINTS, RADII, RADII, AXES, st.tuples(HALF_UNITS, HALF_UNITS))
def test_a_box_path_holds_the_points_that_its_box_sweeps(
    name: str,
    points: list[tuple[float, ...]],
    lower: list[int],
    upper: list[int],
    axes: int,
    at: tuple[float, float],
) -> None:
    grid = GRIDS[name]
    begin, end = -np.array(lower[:axes]), np.array(upper[:axes])
    near, surely = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    for lats, lons in in_all_turns(grid):
        values = np.stack((lats, lons, *(np.full(grid.size, value) for value in at[: axes - 2])))
        for start, move in lines(points, axes):
            near |= _swept(values, start, move, begin - 1e-4, end + 1e-4)
            surely |= _swept(values, start, move, begin + 1e-4, end - 1e-4)
    found = selected(
        grid.inside_box_path([point[:axes] for point in points], begin, end, at[: axes - 2]), grid.size
    )
    assert not (found & ~near).any()
    assert not (surely & ~found).any()


def _swept(
    values: np.ndarray, start: np.ndarray, move: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Whether there is a time at which the box is at each point."""
    first, last = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for axis, speed in enumerate(move):
        away = values[axis] - start[axis]
        if speed == 0:
            first = np.where((away < lower[axis]) | (away > upper[axis]), 2, first)
        else:
            times = sorted(
                ((away - lower[axis]) / speed, (away - upper[axis]) / speed), key=lambda time: time[0]
            )
            first, last = np.maximum(first, times[0]), np.minimum(last, times[1])
    return first <= last


def test_the_ends_of_a_path_are_round() -> None:
    regular = GRIDS["regular"]
    found = expand_ranges(regular.inside_round_path([(0, 100), (0, 120)], [10, 10])).tolist()
    columns = {row: [index - row * 36 for index in found if index // 36 == row] for row in (8, 9, 10)}
    assert columns == {8: [10, 11, 12], 9: [9, 10, 11, 12, 13], 10: [10, 11, 12]}


def test_a_path_goes_the_shorter_way_across_the_date_line() -> None:
    regular = GRIDS["regular"]
    found = expand_ranges(regular.inside_round_path([(0, 160), (0, -160)], [1, 1])).tolist()
    assert [index - 9 * 36 for index in found] == [16, 17, 18, 19, 20]
    boxed = regular.inside_box_path([(0, 160), (0, -160)], [-1, -1], [1, 1])
    assert expand_ranges(boxed).tolist() == found


def test_a_box_may_be_on_one_side_of_the_path() -> None:
    found = GRIDS["regular"].inside_box_path([(0, 0), (0, 20)], [0, 0], [10, 10])
    assert expand_ranges(found).tolist() == [8 * 36 + column for column in range(4)] + [
        9 * 36 + column for column in range(4)
    ]


def test_a_path_is_cut_at_the_level_and_the_step_of_a_field() -> None:
    climb = [(0, 0, 1000, 0), (0, 90, 100, 9)]
    regular = GRIDS["regular"]
    found = regular.inside_box_path(climb, [-1, -1, -50, -0.5], [1, 1, 50, 0.5], at=[500, 5])
    assert expand_ranges(found).tolist() == [9 * 36 + 5]
    assert regular.inside_box_path(climb, [-1, -1, -50, -0.5], [1, 1, 50, 0.5], at=[500, 0]).tolist() == []
    round_one = regular.inside_round_path(climb, [1, 1, 50, 0.5], at=[500, 5])
    assert expand_ranges(round_one).tolist() == [9 * 36 + 5]


@pytest.mark.parametrize("pairs", [1, 100])
def test_a_path_of_many_points_is_done_in_slices(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grids.octahedral(64)
    flight = [(60 * np.sin(time), 20 * time) for time in np.linspace(0, 16, 300)]
    whole = grid.inside_round_path(flight, [1, 1])
    assert count_points(whole) > 400
    monkeypatch.setattr(intervals, "_PAIRS_AT_ONCE", pairs)
    assert grid.inside_round_path(flight, [1, 1]).tolist() == whole.tolist()
