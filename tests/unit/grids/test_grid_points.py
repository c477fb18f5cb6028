"""Where the points of grids are."""

from __future__ import annotations

import numpy as np
import pytest
from small_grids import GRIDS, HALF_OF_8, all_points

from polytope_server import grids
from polytope_server.grids.gaussian import gaussian_latitudes


@pytest.mark.parametrize("number", [1, 2, 8, 32, 80])
def test_gaussian_latitudes_are_roots_of_the_legendre_polynomial(number: int) -> None:
    roots, _ = np.polynomial.legendre.leggauss(2 * number)
    assert gaussian_latitudes(number) == pytest.approx(np.degrees(np.arcsin(roots[::-1])), abs=1e-11)


def test_the_first_latitudes_of_n1280_are_those_that_its_messages_have() -> None:
    # As ECMWF's table of N1280 has them: https://confluence.ecmwf.int/display/FCST/Gaussian+grids
    assert gaussian_latitudes(1280)[:2] == pytest.approx([89.946187, 89.876479], abs=1e-6)


@pytest.mark.parametrize("number", [0, 10**6])
def test_a_gaussian_grid_of_no_or_endless_rows_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"not {number}"):
        gaussian_latitudes(number)


def test_an_octahedral_grid_has_four_more_points_in_each_row_towards_the_equator() -> None:
    grid = GRIDS["octahedral"]
    latitudes, longitudes = all_points(grid)
    expected = [
        (row, 360 / count * column)
        for row, count in enumerate(HALF_OF_8 + HALF_OF_8[::-1])
        for column in range(count)
    ]
    assert grid.size == len(expected)
    assert latitudes == pytest.approx([gaussian_latitudes(8)[row] for row, _ in expected])
    assert longitudes == pytest.approx([longitude for _, longitude in expected])


def test_longitudes_of_points_are_in_the_first_turn() -> None:
    _, longitudes = all_points(GRIDS["local"])
    assert longitudes[:21].tolist() == [*range(352, 360), *range(13)]


def test_points_by_columns_run_along_the_meridian_first() -> None:
    latitudes, longitudes = all_points(GRIDS["by columns"])
    assert latitudes[:7].tolist() == [60, 58, 56, 54, 52, 50, 60]
    assert longitudes[:7].tolist() == [350] * 6 + [352]
    _, from_east = all_points(GRIDS["by columns from the east"])
    assert from_east[:7].tolist() == [4] * 6 + [2]


def test_rows_that_are_stored_both_ways_are_turned() -> None:
    _, longitudes = all_points(GRIDS["rows both ways"])
    assert longitudes[:10].tolist() == [20, 17.5, 15, 12.5, 10, 10, 12.5, 15, 17.5, 20]


def test_rings_of_healpix_are_at_the_published_places() -> None:
    """Nside 1: Górski et al. 2005, equations 4 to 9."""
    latitudes, longitudes = all_points(grids.healpix(1))
    cap = np.degrees(np.arcsin(2 / 3))
    assert latitudes == pytest.approx([cap] * 4 + [0] * 4 + [-cap] * 4)
    assert longitudes.tolist() == [45, 135, 225, 315, 0, 90, 180, 270, 45, 135, 225, 315]


@pytest.mark.parametrize("side", [1, 2, 4, 16, 64])
def test_nested_points_are_those_of_the_rings_in_another_order(side: int) -> None:
    nested = all_points(grids.healpix(side, nested=True))
    rings = all_points(grids.healpix(side))
    order = np.lexsort((nested[1], -nested[0]))
    assert nested[0][order] == pytest.approx(rings[0])
    assert nested[1][order] == pytest.approx(rings[1])


def test_four_nested_points_are_around_the_one_that_they_divide() -> None:
    for side in (1, 2, 8):
        coarse, fine = grids.healpix(side, nested=True), grids.healpix(2 * side, nested=True)
        parts = np.stack(_vectors(*all_points(fine))).reshape(3, -1, 4).mean(axis=2)
        parents = np.stack(_vectors(*all_points(coarse)))
        away = np.linalg.norm(parts / np.linalg.norm(parts, axis=0) - parents, axis=0)
        assert away.max() < 0.3 / side


def _vectors(latitudes: np.ndarray, longitudes: np.ndarray) -> tuple[np.ndarray, ...]:
    north, east = np.radians(latitudes), np.radians(longitudes)
    return np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)


@pytest.mark.parametrize("name", GRIDS)
def test_orders_are_turned_back(name: str) -> None:
    grid = GRIDS[name]
    if grid.order:
        places = np.arange(grid.size)
        assert sorted(grid.order.to_indices(places).tolist()) == places.tolist()
        assert grid.order.to_places(grid.order.to_indices(places)).tolist() == places.tolist()


@pytest.mark.parametrize(("side", "nested"), [(0, False), (2**15, False), (3, True)])
def test_healpix_without_such_a_side_is_refused(side: int, nested: bool) -> None:
    with pytest.raises(ValueError, match=f"not {side}"):
        grids.healpix(side, nested)


@pytest.mark.parametrize("counts", [[20], [20, -1], [0, 0], [20, 2**21]])
def test_a_reduced_grid_needs_points_in_each_row(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="2 rows"):
        grids.reduced_gaussian(1, counts)
