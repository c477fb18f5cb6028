"""Grids from the mapper of a configuration, and from the keys of a message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_grids import all_points

from polytope_server import grids

WHOLE_EARTH = {
    "gridType": "regular_ll",
    "Ni": 36,
    "Nj": 19,
    "numberOfDataPoints": 36 * 19,
    "latitudeOfFirstGridPointInDegrees": 90.0,
    "latitudeOfLastGridPointInDegrees": -90.0,
    "longitudeOfFirstGridPointInDegrees": 0.0,
    "longitudeOfLastGridPointInDegrees": 350.0,
    "iScansNegatively": 0,
    "jScansPositively": 0,
    "jPointsAreConsecutive": 0,
    "alternativeRowScanning": 0,
    "md5GridSection": "abc",
}
HALF = [20 + 4 * row for row in range(8)]
OCTAHEDRAL = {
    "gridType": "reduced_gg",
    "N": 8,
    "pl": [*HALF, *HALF[::-1]],
    "numberOfDataPoints": 2 * sum(HALF),
    "longitudeOfFirstGridPointInDegrees": 0.0,
    "longitudeOfLastGridPointInDegrees": 360 - 360 / 48,
}
HEALPIX = {
    "gridType": "healpix",
    "Nside": 4,
    "orderingConvention": "nested",
    "longitudeOfFirstGridPointInDegrees": 45.0,
    "numberOfDataPoints": 192,
}


def same(one: grids.RowGrid | None, other: grids.RowGrid) -> bool:
    assert one is not None
    return one.size == other.size and bool(np.allclose(all_points(one), all_points(other), atol=1e-9))


def test_the_grid_of_a_message_knows_its_md5() -> None:
    grid = grids.from_message(WHOLE_EARTH)
    assert same(grid, grids.rectangle(np.linspace(90, -90, 19), 0, 10, 36))
    assert grid is not None
    assert grid.md5 == "abc"


def test_messages_of_reduced_grids_and_healpix_are_read() -> None:
    assert same(grids.from_message(OCTAHEDRAL), grids.octahedral(8))
    assert same(grids.from_message(HEALPIX), grids.healpix(4, nested=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"gridType": "lambert"},
        {"gridType": None},
        {"numberOfDataPoints": 100},
        {"jPointsAreConsecutive": 1, "alternativeRowScanning": 1},
        {"Nj": 0, "numberOfDataPoints": 0},
        {"Ni": None},
    ],
)
def test_other_grids_have_no_closed_form(changes: dict[str, Any]) -> None:
    assert grids.from_message(WHOLE_EARTH | changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"numberOfDataPoints": 100},
        {"pl": OCTAHEDRAL["pl"][:-1]},
        {"pl": [0] * 16, "numberOfDataPoints": 0},
        {"longitudeOfFirstGridPointInDegrees": 10.0},
        {"longitudeOfLastGridPointInDegrees": 90.0},
        {"iScansNegatively": 1},
        {"N": 10**9},
    ],
)
def test_parts_of_reduced_grids_have_no_closed_form(changes: dict[str, Any]) -> None:
    assert grids.from_message(OCTAHEDRAL | changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"orderingConvention": "other"},
        {"longitudeOfFirstGridPointInDegrees": 0.0},
        {"Nside": 3},
        {"Nside": 2**20},
        {"Nside": None},
    ],
)
def test_other_healpix_grids_have_no_closed_form(changes: dict[str, Any]) -> None:
    assert grids.from_message(HEALPIX | changes) is None


def test_rows_without_points_are_left_out() -> None:
    message = {
        "gridType": "reduced_ll",
        "pl": [0, 4, 8, 4, 0],
        "numberOfDataPoints": 16,
        "latitudeOfFirstGridPointInDegrees": 90.0,
        "latitudeOfLastGridPointInDegrees": -90.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 315.0,
    }
    grid = grids.from_message(message)
    assert grid is not None
    latitudes, longitudes = all_points(grid)
    assert latitudes.tolist() == [45] * 4 + [0] * 8 + [-45] * 4
    assert longitudes[:6].tolist() == [0, 90, 180, 270, 0, 45]


def test_mappers_of_global_grids_are_read() -> None:
    assert same(grids.from_mapper({"type": "octahedral", "resolution": 8}), grids.octahedral(8))
    assert same(grids.from_mapper({"type": "healpix", "resolution": 4}), grids.healpix(4))
    assert same(
        grids.from_mapper({"type": "healpix_nested", "resolution": "4"}), grids.healpix(4, nested=True)
    )


def test_a_regular_mapper_has_a_row_at_each_pole() -> None:
    mapper = {"type": "regular", "resolution": 9, "axes": ["latitude", "longitude"], "md5_hash": "abc"}
    grid = grids.from_mapper(mapper)
    assert same(grid, grids.rectangle(np.linspace(90, -90, 19), 0, 10, 36))
    assert grid is not None
    assert grid.md5 == "abc"
    turned = grids.from_mapper({**mapper, "axis_reversed": {"latitude": False, "longitude": False}})
    assert same(turned, grids.rectangle(np.linspace(-90, 90, 19), 0, 10, 36))


def test_a_local_mapper_counts_spacings_from_south_to_north() -> None:
    mapper = {"type": "local_regular", "resolution": [10, 20], "local": [50, 60, -8, 12]}
    assert same(grids.from_mapper(mapper), grids.rectangle(np.linspace(50, 60, 11), -8, 1, 21))
    southwards = {**mapper, "axis_reversed": {"latitude": True, "longitude": False}}
    assert same(grids.from_mapper(southwards), grids.rectangle(np.linspace(60, 50, 11), -8, 1, 21))
    one = grids.from_mapper({**mapper, "resolution": 10})
    assert same(one, grids.rectangle(np.linspace(50, 60, 11), -8, 2, 11))


@pytest.mark.parametrize(
    "mapper",
    [
        {},
        {"type": "icon", "resolution": 0},
        {"type": "reduced_ll", "resolution": 1441},
        {"type": "regular", "resolution": 9, "axis_reversed": {"latitude": True, "longitude": True}},
    ],
)
def test_mappers_of_other_grids_have_no_closed_form(mapper: dict[str, Any]) -> None:
    assert grids.from_mapper(mapper) is None


@pytest.mark.parametrize(
    ("mapper", "named"),
    [
        ({"type": "octahedral"}, "resolution"),
        ({"type": "octahedral", "resolution": 0}, "resolution"),
        ({"type": "octahedral", "resolution": True}, "resolution"),
        ({"type": "octahedral", "resolution": 10**9}, str(10**9)),
        ({"type": "healpix_nested", "resolution": 3}, "power of two"),
        ({"type": "local_regular", "resolution": 4}, "local"),
        ({"type": "local_regular", "resolution": 4, "local": [60, 50, 0, 1]}, "local"),
        ({"type": "local_regular", "resolution": [4, 4, 4], "local": [50, 60, 0, 1]}, "resolution"),
    ],
)
def test_a_mapper_that_cannot_be_right_is_refused_by_name(mapper: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        grids.from_mapper(mapper)
