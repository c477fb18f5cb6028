"""What requests want to have made of fields, read and checked without MIR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.datasource.fdb.postprocess.recipe import read_recipe

MOST = 30_000_000
LABEL = {"class": "od", "expver": "0001", "stream": "oper", "date": "20260101", "time": "0000", "type": "fc"}
SURFACE = {**LABEL, "levtype": "sfc", "param": "2t", "step": "0"}
EUROPE = "75/-12.5/35/42.5"


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        ({"grid": "1/1"}, {"grid": "1/1"}),
        ({"grid": "1.0/1.0"}, {"grid": "1/1"}),
        ({"grid": " 1 / 1 "}, {"grid": "1/1"}),
        ({"grid": [1, 1]}, {"grid": "1/1"}),
        ({"grid": [0.5, 0.5]}, {"grid": "0.5/0.5"}),
        ({"grid": "0.5/0.25"}, {"grid": "0.5/0.25"}),
        ({"grid": ".5/5e-1"}, {"grid": "0.5/0.5"}),
        ({"grid": "N320"}, {"grid": "N320"}),
        ({"grid": "n320"}, {"grid": "N320"}),
        ({"grid": "O1280"}, {"grid": "O1280"}),
        ({"grid": "o1280"}, {"grid": "O1280"}),
        ({"grid": "F400"}, {"grid": "F400"}),
        ({"grid": "H128"}, {"grid": "H128"}),
        ({"grid": "hr128"}, {"grid": "HR128"}),
        ({"grid": "H128n"}, {"grid": "HN128"}),
        ({"grid": "160"}, {"grid": "F160"}),
        ({"grid": 160, "gaussian": "reduced"}, {"grid": "N160"}),
        ({"grid": "160", "gaussian": "REGULAR"}, {"grid": "F160"}),
        ({"area": "60/-10/30/40"}, {"area": "60/-10/30/40"}),
        ({"area": "60.0/-10/+30/4e1"}, {"area": "60/-10/30/40"}),
        ({"area": [60, -10, 30, 40]}, {"area": "60/-10/30/40"}),
        ({"area": "60/10/30/-10"}, {"area": "60/10/30/-10"}),
        ({"area": "europe"}, {"area": EUROPE}),
        ({"area": "EUROPE"}, {"area": EUROPE}),
        ({"area": "e"}, {"area": EUROPE}),
        ({"area": "n-hem"}, {"area": "90/-180/20/180"}),
        ({"grid": "1/1", "rotation": "-35/15"}, {"grid": "1/1", "rotation": "-35/15"}),
        ({"truncation": "63"}, {"truncation": "63"}),
        ({"truncation": "AUTO"}, {"truncation": "auto"}),
        ({"grid": "1/1", "resol": "av"}, {"grid": "1/1", "truncation": "none"}),
        ({"grid": "1/1", "truncation": "none"}, {"grid": "1/1", "truncation": "none"}),
        ({"grid": "1/1", "intgrid": "NONE"}, {"grid": "1/1", "intgrid": "none"}),
        ({"grid": 160, "intgrid": "none"}, {"grid": "F160", "intgrid": "none"}),
        ({"resol": 255}, {"truncation": "255"}),
        ({"grid": "1/1", "resol": "N128"}, {"grid": "1/1", "intgrid": "N128"}),
        ({"grid": "1/1", "intgrid": "source"}, {"grid": "1/1", "intgrid": "source"}),
        ({"grid": "1/1", "interpolation": "NN"}, {"grid": "1/1", "interpolation": "nearest-neighbour"}),
        (
            {"grid": "1/1", "interpolation": "nearest_lsm"},
            {"grid": "1/1", "interpolation": "nearest-lsm"},
        ),
        ({"grid": "1/1", "interpolation": "average"}, {"grid": "1/1", "interpolation": "grid-box-average"}),
        ({"packing": "si"}, {"packing": "simple"}),
        ({"packing": "second_order"}, {"packing": "second-order"}),
        ({"accuracy": "16"}, {"accuracy": "16"}),
        ({"accuracy": 8}, {"accuracy": "8"}),
        ({"frame": "2", "area": "europe"}, {"frame": "2", "area": EUROPE}),
        ({"grid": "off", "area": "OFF"}, {}),
        ({"param": "2t", "step": "0/to/6"}, {}),
    ],
)
def test_values_as_mars_writes_them(request_: dict[str, Any], options: dict[str, str]) -> None:
    assert read_recipe(request_, MOST).options == options


@pytest.mark.parametrize(
    "idle",
    [
        {"grid": "av"},
        {"grid": "Archived Value"},
        {"area": "global"},
        {"area": "G"},
        {"packing": "av"},
        {"accuracy": "AV"},
        {"resol": "auto"},
        {"resol": "av"},
        {"truncation": "none"},
        {"intgrid": "none"},
        {"grid": "av", "intgrid": "None"},
        {"grid": "av", "resol": "archived-value"},
    ],
)
def test_what_is_there_anyway_is_nothing_to_do(idle: dict[str, str]) -> None:
    recipe = read_recipe(idle, MOST)
    assert not recipe
    assert recipe.idle == idle


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"grid": "1"}, "key 'grid': '1' is not accepted; expected degrees from west to east"),
        ({"grid": "1/1/1"}, "such as 1/1 or 0.25/0.25"),
        ({"grid": "0/1"}, "expected degrees above 0"),
        ({"grid": "-1/1"}, "expected degrees above 0"),
        ({"grid": "1/181"}, "180 from south to north"),
        ({"grid": "nan/1"}, "expected degrees"),
        ({"grid": "1e9/1"}, "expected degrees above 0"),
        ({"grid": "1/to/2"}, "expected degrees"),
        ({"grid": "auto"}, "or the name of a grid such as N320"),
        ({"grid": "N321"}, "expected N and one of 16, 24, 32"),
        ({"grid": "O1"}, "expected O and a number from 2 to 8000"),
        ({"grid": "F9999"}, "expected F and a number from 2 to 8000"),
        ({"grid": "H12"}, "expected H and a power of two"),
        ({"grid": "HRN8"}, "or the name of a grid"),
        ({"grid": "T639"}, "or the name of a grid"),
        ({"grid": "/etc/passwd"}, "expected degrees"),
        ({"grid": "F8000"}, "makes about 512000000 points of a field; at most 30000000 are made"),
        ({"grid": "0.01/0.01"}, "choose a coarser grid, or a smaller area"),
        ({"grid": "161", "gaussian": "reduced"}, "expected N and one of"),
        ({"grid": "1/1", "gaussian": "reduced"}, "with a grid that is a number such as 160"),
        ({"grid": "160", "gaussian": "square"}, "expected regular or reduced"),
        ({"gaussian": "regular"}, "with a grid that is a number"),
        ({"area": "30/0/60/10"}, "key 'area': '30/0/60/10' is not accepted; .* north above south"),
        ({"area": "91/0/0/10"}, "latitudes within 90 degrees"),
        ({"area": "60/-400/30/10"}, "longitudes from -360 to 360"),
        ({"area": "60/-10/30"}, "expected north/west/south/east in degrees such as"),
        ({"area": "60/-10/30/x"}, "expected north/west/south/east"),
        ({"area": "erope"}, "did you mean 'europe'?"),
        ({"area": "xyzzy"}, "or the name of an area such as europe"),
        ({"rotation": "-35/15"}, "key 'rotation' needs a key 'grid'"),
        ({"grid": "1/1", "rotation": "-95/15"}, "the latitude and the longitude of the south pole"),
        ({"grid": "1/1", "rotation": "15"}, "such as -35/15"),
        ({"grid": "H16", "rotation": "-35/15"}, "key 'rotation' is not served for the grid H16"),
        ({"grid": "H16", "area": "europe"}, "key 'area' is not served for the grid H16"),
        ({"truncation": "0"}, "expected a number from 1 to 7999, auto, or none"),
        ({"truncation": "63.5"}, "expected a number"),
        ({"truncation": "-1"}, "expected a number"),
        ({"resol": "63", "truncation": "63"}, "key 'resol' says the same as 'truncation'"),
        ({"resol": "av", "truncation": "63"}, "key 'resol' says the same as 'truncation'"),
        ({"resol": "fine"}, "key 'resol': 'fine' is not accepted; expected a number"),
        ({"interpolation": "nn"}, "key 'interpolation' needs a key 'grid'"),
        ({"grid": "1/1", "interpolation": "matrix"}, "expected one of linear, bilinear"),
        ({"intgrid": "N320"}, "key 'intgrid' needs a key 'grid'"),
        ({"grid": "1/1", "intgrid": "1/1"}, "the name of a Gaussian grid"),
        ({"packing": "zip"}, "expected one of second-order, complex, simple, ccsds, ieee"),
        ({"grid": "1/1", "packing": "complex"}, "is for spherical harmonics, and 'grid' is asked for"),
        ({"accuracy": "0"}, "expected a number of bits from 1 to 32, or av"),
        ({"accuracy": "64"}, "from 1 to 32"),
        ({"accuracy": "n"}, "expected a number of bits"),
        ({"frame": "0"}, "expected a number of points from 1"),
    ],
)
def test_what_is_malformed_is_refused_with_what_would_do(request_: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataSourceError, match=complaint) as raised:
        read_recipe(request_, MOST)
    assert len(str(raised.value)) < 250


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DataSourceError) as raised:
        read_recipe({"grid": "1", "area": "erope", "accuracy": "x"}, MOST)
    assert all(f"key '{key}'" in str(raised.value) for key in ("grid", "area", "accuracy"))


@pytest.mark.parametrize(
    ("request_", "points"),
    [
        ({"grid": "1/1"}, 360 * 181),
        ({"grid": "1/1", "area": "60/-10/30/40"}, 51 * 31),
        ({"grid": "1/1", "area": "60/350/30/40"}, 51 * 31),
        ({"grid": "O32"}, 5248),
        ({"grid": "F32"}, 8192),
        ({"grid": "H16"}, 3072),
    ],
)
def test_the_points_of_a_grid_are_bounded(request_: dict[str, Any], points: int) -> None:
    assert read_recipe(request_, points + 400)
    with pytest.raises(DataSourceError, match="at most"):
        read_recipe(request_, points // 2)


def test_an_area_makes_a_fine_grid_possible() -> None:
    assert read_recipe({"grid": "0.01/0.01", "area": "50/0/40/10"}, MOST)


Said = Callable[..., str]


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """What a user reads at the door of a data source that post-processes."""
    config = {"type": "local", "schema": str(tmp_path / "schema")}
    check = FDBDataSource.request_check(FDBSettings(fdb_config=config, postprocess=True))

    def read(verb: str = "retrieve", **changes: Any) -> str:
        try:
            check({**SURFACE, **changes}, verb)
        except DataSourceError as error:
            return str(error)
        return ""

    return read


class TestAtTheDoor:
    def test_good_requests(self, said: Said) -> None:
        assert said(grid="1/1", area="europe", interpolation="nn", accuracy="16") == ""

    def test_a_malformed_value_is_refused(self, said: Said) -> None:
        assert said(grid="1").startswith("key 'grid': '1' is not accepted; expected")

    @pytest.mark.parametrize("key", ["filter", "bitmap", "style", "repres"])
    def test_what_is_not_served_is_still_refused(self, said: Said, key: str) -> None:
        assert f"key '{key}'" in said(**{key: "1", "grid": "1/1"})

    def test_an_archive_changes_nothing(self, said: Said) -> None:
        assert said("archive", grid="1/1").startswith(
            "key 'grid': '1/1' is not accepted: fields are archived"
        )

    @pytest.mark.parametrize(
        ("param", "message"),
        [
            ("u", "key 'param': 'u' is one component of a vector, and 'rotation' turns both; say u/v"),
            ("10v", "'10v' is one component of a vector, and 'rotation' turns both; say 10u/10v"),
            ("165/2t", "say 10u/10v"),
            ("131.128", "say u/v"),
            ("131.200", "'131.200' is one component"),
            ("131.200/132.200", ""),
            ("10u/v", "'v' is one component"),
            ("u/v", ""),
            ("U/132", ""),
            ("vo", ""),
            ("2t", ""),
        ],
    )
    def test_a_rotation_needs_both_components(self, said: Said, param: str, message: str) -> None:
        assert message in said(param=param, grid="1/1", rotation="-35/15")
        assert bool(message) == bool(said(param=param, grid="1/1", rotation="-35/15"))
        assert said(param=param, grid="1/1") == ""

    def test_without_post_processing_nothing_of_it_is_served(self, tmp_path: Path) -> None:
        config = {"type": "local", "schema": str(tmp_path / "schema")}
        check = FDBDataSource.request_check(FDBSettings(fdb_config=config))
        with pytest.raises(DataSourceError, match="key 'grid'"):
            check({**SURFACE, "grid": "1/1"}, "retrieve")

    @pytest.mark.parametrize(
        "value",
        [
            *({key: "archived-value"} for key in ("accuracy", "grid", "packing", "resol")),
            {"area": "g"},
            {"intgrid": "none"},
            {"truncation": "none"},
        ],
    )
    def test_words_for_what_is_stored_need_no_post_processing(
        self, said: Said, tmp_path: Path, value: dict[str, str]
    ) -> None:
        config = {"type": "local", "schema": str(tmp_path / "schema")}
        FDBDataSource.request_check(FDBSettings(fdb_config=config))({**SURFACE, **value}, "retrieve")
        assert said(**value) == ""

    def test_what_is_served_is_not_ignored(self) -> None:
        with pytest.raises(ValueError, match="ignore: 'grid' is served, as postprocess is true"):
            FDBSettings(fdb_config={"type": "local"}, postprocess=True, ignore=("grid", "target"))
        assert FDBSettings(fdb_config={"type": "local"}, postprocess=True, ignore=("style",))
