"""Grids of real messages: equal to the coordinates that ecCodes gives for every point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import eccodes
import numpy as np
import pytest

from polytope_server import grids
from polytope_server.grids import RowGrid, expand_ranges

POSITIONS = 2000


class Case(NamedTuple):
    """The grid as it was read, and the coordinates of all points."""

    grid: RowGrid
    latitudes: np.ndarray
    longitudes: np.ndarray
    md5: str


def reduced(number: int, octahedral: bool = False, edition: int = 2) -> int:
    handle = eccodes.codes_grib_new_from_samples(f"reduced_gg_pl_{number}_grib{edition}")
    if octahedral:
        half = [20 + 4 * row for row in range(number)]
        eccodes.codes_set_array(handle, "pl", half + half[::-1])
        eccodes.codes_set(handle, "longitudeOfLastGridPointInDegrees", 360 - 360 / half[-1])
        eccodes.codes_set_values(handle, np.zeros(2 * sum(half)))
    return handle


def sample(name: str, **keys: Any) -> int:
    handle = eccodes.codes_grib_new_from_samples(name)
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    return handle


def lat_lon(
    first: tuple[float, float],
    last: tuple[float, float],
    counts: tuple[int, int],
    edition: int = 2,
    **keys: Any,
) -> int:
    """A regular grid between two corners (latitude, longitude), with this number of rows and columns."""
    (north, west), (south, east), (rows, columns) = first, last, counts
    handle = sample(
        f"regular_ll_pl_grib{edition}",
        Ni=columns,
        Nj=rows,
        **keys,
        latitudeOfFirstGridPointInDegrees=north,
        longitudeOfFirstGridPointInDegrees=west,
        latitudeOfLastGridPointInDegrees=south,
        longitudeOfLastGridPointInDegrees=east,
        iDirectionIncrementInDegrees=round(
            (abs(east - west) if east > west or keys.get("iScansNegatively") else east + 360 - west)
            / (columns - 1),
            6,
        ),
        jDirectionIncrementInDegrees=round(abs(north - south) / max(rows - 1, 1), 6),
    )
    eccodes.codes_set_values(handle, np.zeros(rows * columns))
    return handle


def part_of_gaussian() -> int:
    rows = sample("regular_gg_pl_grib2")
    latitudes = eccodes.codes_get_array(rows, "distinctLatitudes")
    eccodes.codes_release(rows)
    ends = sorted(latitudes)[::-1][8:20]
    handle = sample(
        "regular_gg_pl_grib2",
        Nj=12,
        Ni=13,
        latitudeOfFirstGridPointInDegrees=ends[0],
        longitudeOfFirstGridPointInDegrees=345.9375,
        latitudeOfLastGridPointInDegrees=ends[-1],
        longitudeOfLastGridPointInDegrees=19.6875,
    )
    eccodes.codes_set_values(handle, np.zeros(12 * 13))
    return handle


def healpix(side: int, convention: str) -> int:
    handle = sample("GRIB2", gridType="healpix", Nside=side, longitudeOfFirstGridPointInDegrees=45)
    eccodes.codes_set_string(handle, "orderingConvention", convention)
    eccodes.codes_set_values(handle, np.zeros(12 * side**2))
    return handle


MESSAGES: dict[str, Callable[[], int]] = {
    "O32": lambda: reduced(32, octahedral=True),
    "O320": lambda: reduced(320, octahedral=True),
    "N32": lambda: reduced(32),
    "N320": lambda: reduced(320),
    "N80 of edition 1": lambda: reduced(80, edition=1),
    "F32": lambda: sample("regular_gg_pl_grib2"),
    "F32 of edition 1": lambda: sample("regular_gg_pl_grib1"),
    "a part of F32": lambda: part_of_gaussian(),
    "reduced latitude-longitude": lambda: sample("reduced_ll_sfc_grib2"),
    "the first column twice": lambda: lat_lon((90, 0), (-90, 360), (37, 73)),
    "one row": lambda: lat_lon((52, 3), (52, 5), (1, 21)),
    "1 by 1 degree": lambda: lat_lon((90, 0), (-90, 359), (181, 360)),
    "northwards": lambda: lat_lon((-90, 0), (90, 358.5), (121, 240), jScansPositively=1),
    "from the date line": lambda: lat_lon((90, 180), (-90, 179.5), (361, 720)),
    "a third of a degree": lambda: lat_lon((90, 0), (-90, 359.666667), (541, 1080)),
    "local": lambda: lat_lon((60, 352), (50, 12), (101, 201)),
    "local of edition 1": lambda: lat_lon((60, -8), (50, 12), (101, 201), edition=1),
    "westwards": lambda: lat_lon((60, 12), (50, 352), (101, 201), iScansNegatively=1),
    "by columns": lambda: lat_lon((60, 2), (50, 12), (41, 51), jPointsAreConsecutive=1),
    "HEALPix 32, ring": lambda: healpix(32, "ring"),
    "HEALPix 32, nested": lambda: healpix(32, "nested"),
}


@lru_cache
def case(name: str) -> Case:
    handle = MESSAGES[name]()
    try:
        grid = grids.from_message(handle)
        assert grid is not None
        latitudes, longitudes = (eccodes.codes_get_array(handle, key) for key in ("latitudes", "longitudes"))
        return Case(grid, latitudes, longitudes, eccodes.codes_get(handle, "md5GridSection"))
    finally:
        eccodes.codes_release(handle)


@pytest.fixture(params=MESSAGES)
def message(request: pytest.FixtureRequest) -> Case:
    return case(request.param)


def test_every_point_is_where_the_message_has_it(message: Case) -> None:
    latitudes, longitudes = message.grid.coordinates(np.arange(message.grid.size))
    assert len(latitudes) == len(message.latitudes)
    assert np.abs(latitudes - message.latitudes).max() < 1e-6
    assert np.abs((longitudes - message.longitudes + 180) % 360 - 180).max() < 1e-6
    assert message.grid.md5 == message.md5


def test_the_nearest_point_is_the_nearest_of_all(message: Case) -> None:
    random = np.random.default_rng(16)
    latitudes = np.degrees(np.arcsin(random.uniform(-1, 1, POSITIONS)))
    longitudes = random.uniform(-360, 720, POSITIONS)
    latitudes[:4], longitudes[:6] = (90, -90, 89.99, 0), (0, 17, 359.999, -0.001, 180, 719.97)
    found = message.grid.nearest(latitudes, longitudes)
    northwards = np.argsort(message.latitudes)
    ascending = message.latitudes[northwards]
    points = _vectors(ascending, message.longitudes[northwards])
    places = np.argsort(northwards)[found]
    for latitude, position, place in zip(latitudes, _vectors(latitudes, longitudes).T, places, strict=True):
        away = np.linalg.norm(points[:, place] - position)
        # A nearer one is at most as many degrees of latitude away.
        reach = np.degrees(2 * np.arcsin(away / 2)) + 1e-6
        begin, end = np.searchsorted(ascending, (latitude - reach, latitude + reach))
        assert away <= np.linalg.norm(points[:, begin:end] - position[:, None], axis=0).min() + 1e-9


def _vectors(latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
    north, east = np.radians(latitudes), np.radians(longitudes)
    return np.stack((np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)))


def turned(message: Case) -> Iterator[np.ndarray]:
    return (message.longitudes + turn for turn in (-720, -360, 0, 360))


BOXES = (
    (48.03, -7.13, 59.51, 11.77),
    (-20.2, 170.1, 33.3, 199.9),
    (-90, -30.03, -60.01, 100.07),
    (51.011, 3.003, 90, 4.007),
)


@pytest.mark.parametrize("box", BOXES)
def test_a_box_holds_what_all_coordinates_tell(message: Case, box: grids.Box) -> None:
    south, west, north, east = box
    rows = (south <= message.latitudes) & (message.latitudes <= north)
    inside = np.any([(west <= lons) & (lons <= east) for lons in turned(message)], axis=0)
    assert expand_ranges(message.grid.inside_box(box)).tolist() == np.flatnonzero(rows & inside).tolist()


def test_a_polygon_with_a_hole_holds_what_all_coordinates_tell(message: Case) -> None:
    ring = [(47.013, -9.007), (61.029, -3.019), (58.037, 14.003), (52.003, 3.011), (49.001, 13.017)]
    hole = [(51.011, -5.013), (57.003, -2.009), (54.017, 1.007)]
    inside = np.zeros(message.grid.size, bool)
    for lons in turned(message):
        inside |= _surrounded(ring, message.latitudes, lons) & ~_surrounded(hole, message.latitudes, lons)
    found = message.grid.inside_polygons([[ring, hole]])
    assert expand_ranges(found).tolist() == np.flatnonzero(inside).tolist()


def _surrounded(ring: list[tuple[float, float]], lats: np.ndarray, lons: np.ndarray) -> np.ndarray:
    inside = np.zeros(len(lats), bool)
    for (y1, x1), (y2, x2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        inside ^= ((y1 > lats) != (y2 > lats)) & (lons < x1 + (lats - y1) / (y2 - y1) * (x2 - x1))
    return inside


def test_a_circle_and_a_path_hold_what_all_coordinates_tell(message: Case) -> None:
    circle, path = np.zeros(message.grid.size, bool), np.zeros(message.grid.size, bool)
    for lons in turned(message):
        circle |= np.hypot(message.latitudes - 55.013, lons - 1.007) <= 3.003
        # From (52, -5) to (58, 9): the distance from the line through both, and from its ends.
        up, across = message.latitudes - 52, lons + 5
        time = np.clip((up * 6 + across * 14) / 232, 0, 1)
        path |= np.hypot(up - 6 * time, across - 14 * time) <= 1.003
    assert (
        expand_ranges(message.grid.inside_circle((55.013, 1.007), 3.003)).tolist()
        == np.flatnonzero(circle).tolist()
    )
    found = message.grid.inside_round_path([(52, -5), (58, 9)], [1.003, 1.003])
    assert expand_ranges(found).tolist() == np.flatnonzero(path).tolist()


@pytest.mark.parametrize("westwards", [0, 1])
def test_rows_that_are_stored_both_ways_are_turned_as_eccodes_turns_them(westwards: int) -> None:
    first, last = ((60, 12), (50, 2)) if westwards else ((60, 2), (50, 12))
    handle = lat_lon(first, last, (42, 51), iScansNegatively=westwards, alternativeRowScanning=1)
    try:
        grid = grids.from_message(handle)
        assert grid is not None
        eccodes.codes_set_values(handle, np.arange(42.0 * 51))
        # Its coordinates are right only after this.
        eccodes.codes_set(handle, "swapScanningAlternativeRows", 1)
        turned_rows = [eccodes.codes_get_array(handle, key) for key in ("values", "latitudes", "longitudes")]
    finally:
        eccodes.codes_release(handle)
    latitudes, longitudes = grid.coordinates(turned_rows[0].astype(int))
    assert latitudes == pytest.approx(turned_rows[1], abs=1e-6)
    assert longitudes == pytest.approx(turned_rows[2], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "mapper"),
    [
        ("O320", {"type": "octahedral", "resolution": 320}),
        ("N320", {"type": "reduced_gaussian", "resolution": 320}),
        ("N32", {"type": "reduced_gaussian", "resolution": 32}),
        ("1 by 1 degree", {"type": "regular", "resolution": 90}),
        (
            "local",
            {
                "type": "local_regular",
                "resolution": [100, 200],
                "local": [50, 60, -8, 12],
                "axis_reversed": {"latitude": True, "longitude": False},
                "axes": ["latitude", "longitude"],
            },
        ),
        ("HEALPix 32, ring", {"type": "healpix", "resolution": 32}),
        ("HEALPix 32, nested", {"type": "healpix_nested", "resolution": 32}),
    ],
)
def test_the_mapper_of_a_configuration_describes_the_same_points(name: str, mapper: dict[str, Any]) -> None:
    grid = grids.from_mapper(mapper)
    assert grid is not None
    latitudes, longitudes = grid.coordinates(np.arange(grid.size))
    assert np.abs(latitudes - case(name).latitudes).max() < 1e-6
    assert np.abs((longitudes - case(name).longitudes + 180) % 360 - 180).max() < 1e-6


def test_a_classic_reduced_grid_of_unknown_rows_is_not_described() -> None:
    assert grids.from_mapper({"type": "reduced_gaussian", "resolution": 33}) is None


@pytest.mark.parametrize("name", ["rotated_ll_pl_grib2", "polar_stereographic_pl_grib2", "sh_pl_grib2"])
def test_messages_of_other_grids_have_no_closed_form(name: str) -> None:
    handle = eccodes.codes_grib_new_from_samples(name)
    try:
        assert grids.from_message(handle) is None
    finally:
        eccodes.codes_release(handle)
