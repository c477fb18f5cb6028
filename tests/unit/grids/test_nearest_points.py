"""The nearest point is the nearest of all points, on the sphere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_grids import GRIDS, all_points, distances

from polytope_server import grids
from polytope_server.grids import RowGrid
from polytope_server.grids.rows import Rows

NAMES = st.sampled_from(sorted(GRIDS))
LATITUDES = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 0.0, 90.0, 89.999999]))
LONGITUDES = st.one_of(
    st.floats(-1080, 1080), st.sampled_from([0.0, 360.0, 359.9999999, -180.0, 180.0, 719.97])
)


@settings(deadline=None)
@given(NAMES, LATITUDES, LONGITUDES)
def test_no_point_is_nearer(name: str, latitude: float, longitude: float) -> None:
    grid = GRIDS[name]
    index = grid.nearest([latitude], [longitude])[0]
    away = distances(grid, latitude, longitude)
    assert away[index] <= away.min() + 1e-9


@pytest.mark.parametrize("name", GRIDS)
def test_many_positions_are_found_at_once(name: str) -> None:
    grid, random = GRIDS[name], np.random.default_rng(1)
    latitudes, longitudes = random.uniform(-90, 90, 500), random.uniform(-360, 720, 500)
    found = grid.nearest(latitudes, longitudes)
    for latitude, longitude, index in zip(latitudes, longitudes, found, strict=True):
        away = distances(grid, latitude, longitude)
        assert away[index] <= away.min() + 1e-9


@pytest.mark.parametrize("name", GRIDS)
def test_each_point_is_nearest_to_itself_in_any_turn(name: str) -> None:
    grid = GRIDS[name]
    latitudes, longitudes = all_points(grid)
    apart = np.abs(latitudes) < 90  # all points of a row at a pole are one
    for turn in (-720, 0, 360):
        found = grid.nearest(latitudes[apart], longitudes[apart] + turn)
        assert found.tolist() == np.arange(grid.size)[apart].tolist()


def test_the_point_at_greenwich_is_nearest_to_a_position_just_west_of_it() -> None:
    assert GRIDS["regular"].nearest([0.0], [359.9]).tolist() == [9 * 36]


def test_the_nearest_row_is_not_always_the_one_of_the_nearest_latitude() -> None:
    rows = Rows(np.array([50.0, 51.0]), np.array([1, 1]), np.array([40.0, 0.0]), np.array([360.0, 360.0]))
    grid = RowGrid(rows)
    assert grid.nearest([50.1], [0.0]).tolist() == [1]


def test_across_the_pole_is_near() -> None:
    grid = grids.rectangle(np.array([89.0, 80.0, 70.0]), 180, 360, 1)
    assert grid.nearest([88.0], [0.0]).tolist() == [0]


def test_of_points_at_the_same_distance_it_is_the_western_one_of_the_first_row() -> None:
    regular = GRIDS["regular"]
    assert regular.nearest([0.0], [5.0]).tolist() == [9 * 36]
    assert regular.nearest([5.0], [0.0]).tolist() == [8 * 36]
    assert regular.nearest([90.0], [70.0]).tolist() == [7]


def test_positions_are_covered_up_to_one_spacing_beyond_the_edge() -> None:
    local = GRIDS["local"]
    latitudes = [55.0, 60.9, 61.1, 55.0, 55.0, 49.1]
    longitudes = [0.0, 0.0, 0.0, 12.9, 13.1, -8.9]
    assert local.covers(latitudes, longitudes).tolist() == [True, True, False, True, False, True]


@pytest.mark.parametrize("name", ["octahedral", "reduced northwards", "regular", "ring", "nested"])
def test_global_grids_cover_all(name: str) -> None:
    latitudes, longitudes = np.meshgrid(np.linspace(-90, 90, 37), np.linspace(-180, 180, 73))
    assert GRIDS[name].covers(latitudes.ravel(), longitudes.ravel()).all()


@pytest.mark.parametrize("position", [(np.nan, 0), (0, np.inf)])
def test_what_is_no_position_is_refused(position: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        GRIDS["octahedral"].nearest([position[0]], [position[1]])


def test_no_positions_have_no_points() -> None:
    assert GRIDS["octahedral"].nearest([], []).tolist() == []
