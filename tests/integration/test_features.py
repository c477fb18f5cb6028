"""The data source polytope on a real FDB: each kind of feature on each grid, against the decoded fields."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyfdb
import pytest
from feature_fields import (
    DATES,
    GRIDS,
    MEMBERS,
    STEPS,
    coordinates,
    fill,
    make,
    nearest,
    request,
)

from polytope_server.datasource import CONTENTS, DataSourceError, Question, TemporaryError
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

#: Europe, both sides of Greenwich, of the date line, and the poles; in any turn.
PLACES = [
    [48.8, 2.3],
    [51.5, -0.1],
    [40.4, 359.9],
    [-17.7, 179.95],
    [-17.7, -179.9],
    [10, 719.97],
    [90, 0],
    [-90, 33],
]
#: Inside of the local grid.
NEAR = [[48.8, 2.3], [51.5, -0.1], [40.4, 359.9], [59.9, -19.9], [30.2, 29.8]]
FULL = os.environ.get("POLYTOPE_FAULTS") == "full"
SERIES = {"type": "timeseries", "time_axis": "step", "range": {"start": 0, "end": 24}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PolytopeDataSource:
    return open_source(fill(tmp_path_factory.mktemp("features")))


def open_source(config: dict[str, Any], **settings: Any) -> PolytopeDataSource:
    """A data source on an FDB, ready for requests."""
    settings = {"gribjump_config": {"type": "local"}, "fdb_config": config, **settings}
    source = PolytopeDataSource("features", PolytopeSettings.model_validate(settings))
    source.prepare()
    return source


def retrieve(source: PolytopeDataSource, feature: dict[str, Any], grid: str, **keys: Any) -> Any:
    found = source.retrieve(job({**request(grid, **keys), "feature": feature}))
    return json.loads(b"".join(found.chunks))


def places(grid: str) -> list[list[float]]:
    return NEAR if grid == "local" else PLACES


def points_of(coverage: Any, name: str) -> dict[tuple[float, ...], float | None]:
    """The values of a coverage of an area by their places, rounded to what GRIB can hold."""
    tuples = coverage["domain"]["axes"]["composite"]["values"]
    values = coverage["ranges"][name]["values"]
    assert len(values) == coverage["ranges"][name]["shape"][0] == len(tuples)
    found = {_place(*place): value for place, value in zip(tuples, values, strict=True)}
    assert len(found) == len(tuples)
    return found


def _place(latitude: float, longitude: float, *others: float) -> tuple[float, ...]:
    return round(latitude, 5), round(longitude % 360, 5) % 360, *others


def expected_points(grid: str, inside: Any, *fields: Any, levels: tuple[float, ...] = (0,)) -> Any:
    """The values of the points of a grid where `inside` is true, of a field for each level."""
    latitudes, longitudes = coordinates(grid)
    return {
        _place(latitudes[n], longitudes[n], level): None if np.isnan(field.values[n]) else field.values[n]
        for n in np.flatnonzero(inside(latitudes, (longitudes + 180) % 360 - 180))
        for level, field in zip(levels, fields, strict=True)
    }


@pytest.mark.parametrize("grid", GRIDS)
class TestEveryGrid:
    def test_a_time_series_has_the_nearest_points_in_the_order_of_the_request(
        self, source: PolytopeDataSource, grid: str
    ) -> None:
        found = retrieve(source, {**SERIES, "points": places(grid)}, grid, param="2t")
        indices = [nearest(grid, *place) for place in places(grid)]
        fields = [make(grid, "167", step=step) for step in STEPS]
        expected = [[field.values[index] for field in fields] for index in indices]
        assert [one["ranges"]["2t"]["values"] for one in found["coverages"]] == expected
        axes = [one["domain"]["axes"] for one in found["coverages"]]
        shown = [_place(one["latitude"]["values"][0], one["longitude"]["values"][0]) for one in axes]
        latitudes, longitudes = coordinates(grid)
        assert shown == [_place(latitudes[index], longitudes[index]) for index in indices]

    def test_a_profile_has_its_levels_in_the_order_of_the_request(
        self, source: PolytopeDataSource, grid: str
    ) -> None:
        feature = {"type": "verticalprofile", "points": NEAR, "axes": "levelist"}
        found = retrieve(source, feature, grid, levtype="pl", levelist="850/500/1000", param="t/q", step="6")
        for param, name in (("130", "t"), ("133", "q")):
            fields = [make(grid, param, step="6", level=level) for level in ("850", "500", "1000")]
            expected = [[field.values[nearest(grid, *place)] for field in fields] for place in NEAR]
            assert [one["ranges"][name]["values"] for one in found["coverages"]] == expected

    def test_a_box_has_the_points_of_all_levels(self, source: PolytopeDataSource, grid: str) -> None:
        feature = {"type": "boundingbox", "points": [[35, -12], [58, 21]]}
        found = retrieve(source, feature, grid, levtype="pl", param="q", levelist="500/1000", step="0")
        fields = [make(grid, "133", level=level) for level in ("500", "1000")]
        inside = lambda lat, lon: (lat >= 35) & (lat <= 58) & (lon >= -12) & (lon <= 21)  # noqa: E731
        expected = expected_points(grid, inside, *fields, levels=(500, 1000))
        assert points_of(found["coverages"][0], "q") == expected

    def test_a_path_has_the_points_near_it(self, source: PolytopeDataSource, grid: str) -> None:
        feature = {"type": "trajectory", "axes": ["latitude", "longitude"], "points": [[41, -9], [41, 17]]}
        found = retrieve(source, {**feature, "inflation": 4.05}, grid, param="2t", step="6")
        inside = lambda lat, lon: np.hypot(lat - 41, np.maximum(abs(lon - 4) - 13, 0)) <= 4.05  # noqa: E731
        values = {place[1:3]: value for place, value in _path_points(found["coverages"][0], "2t").items()}
        expected = expected_points(grid, inside, make(grid, "167", step="6"))
        assert values == {place[:2]: value for place, value in expected.items()}

    def test_a_path_through_levels_and_steps_has_the_labels_of_its_values(
        self, source: PolytopeDataSource, grid: str
    ) -> None:
        axes = ["latitude", "longitude", "levelist", "step"]
        points = [[41, -9, 1000, 0], [50, 17, 500, 12]]
        feature = {"type": "trajectory", "axes": axes, "points": points, "inflation": [5, 5, 160, 3]}
        found = retrieve(source, {**feature, "inflate": "box"}, grid, levtype="pl", param="t")
        values = _path_points(found["coverages"][0], "t")
        assert len({place[0] for place in values}) > 1
        assert len({place[3] for place in values}) > 1
        by_place = {_place(*place): n for n, place in enumerate(zip(*coordinates(grid), strict=True))}
        for (step, latitude, longitude, level), value in values.items():
            field = make(grid, "130", step=str(step), level=str(level))
            assert value == field.values[by_place[latitude, longitude]]

    def test_points_without_a_value_are_null(self, source: PolytopeDataSource, grid: str) -> None:
        feature = {"type": "boundingbox", "points": [[35, -12], [58, 21]]}
        found = retrieve(source, feature, grid, param="34", step="0/6")
        for step, packing, coverage in zip(
            "06", ("grid_simple", "grid_ccsds"), found["coverages"], strict=True
        ):
            field = make(grid, "34", step=step, packing=packing, missing=True)
            inside = lambda lat, lon: (lat >= 35) & (lat <= 58) & (lon >= -12) & (lon <= 21)  # noqa: E731
            values = points_of(coverage, "sst")
            assert values == expected_points(grid, inside, field)
            assert None in values.values()


def _path_points(coverage: Any, name: str) -> dict[Any, Any]:
    tuples = coverage["domain"]["axes"]["composite"]["values"]
    values = coverage["ranges"][name]["values"]
    return {
        (step, *_place(latitude, longitude), level): value
        for (step, latitude, longitude, level), value in zip(tuples, values, strict=True)
    }


def test_points_at_one_grid_point_are_all_there(source: PolytopeDataSource) -> None:
    points = [[48.8, 2.3], [10, 10], [48.81, 2.31], [48.8, 2.3]]
    found = retrieve(source, {**SERIES, "points": points}, "octahedral", param="2t")
    values = [one["ranges"]["2t"]["values"] for one in found["coverages"]]
    assert len(values) == 4
    assert values[0] == values[2] == values[3] != values[1]


def test_dates_and_members_have_a_coverage_each(source: PolytopeDataSource) -> None:
    found = retrieve(
        source, {**SERIES, "points": [[48.8, 2.3]]}, "octahedral", param="2t", date="/".join(DATES)
    )
    index = nearest("octahedral", 48.8, 2.3)
    expected = [
        [make("octahedral", "167", date=date, step=step).values[index] for step in STEPS] for date in DATES
    ]
    assert [one["ranges"]["2t"]["values"] for one in found["coverages"]] == expected
    keys = {"stream": "enfo", "type": "pf", "number": "/".join(MEMBERS), "param": "2t", "step": "0/6"}
    found = retrieve(source, {"type": "position", "points": [[48.8, 2.3]]}, "octahedral", **keys)
    expected = [
        [make("octahedral", "167", step=step, number=number).values[index] for step in STEPS[:2]]
        for number in MEMBERS
    ]
    assert [one["ranges"]["2t"]["values"] for one in found["coverages"]] == expected
    assert [one["mars:metadata"]["number"] for one in found["coverages"]] == [1, 2, 3]


def test_a_range_without_interval_means_what_the_archive_has(source: PolytopeDataSource) -> None:
    feature = {**SERIES, "points": [[48.8, 2.3]], "range": {"start": 5, "end": 20}}
    found = retrieve(source, feature, "octahedral", param="2t")
    times = found["coverages"][0]["domain"]["axes"]["t"]["values"]
    assert times == [f"2026-01-01T{hour}:00:00Z" for hour in ("06", "12", "18")]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"param": "2t", "step": "0/54"}, "step 54 of 2 metre temperature is not in the archive"),
        (
            {"param": "2t/msl", "step": "12/18/24"},
            "steps 18, 24 of Mean sea level pressure are not in the archive",
        ),
        (
            {"param": "10u", "step": "0"},
            "the archive has no field of this request: step 0 of 10u is not in the archive",
        ),
        (
            {"param": "2t", "step": "0", "date": "20260101/20260103"},
            "step 0 of 2 metre temperature, date 20260103 is not in the archive",
        ),
    ],
)
def test_missing_fields_are_named(source: PolytopeDataSource, keys: dict[str, str], expected: str) -> None:
    with pytest.raises(DataSourceError) as refused:
        retrieve(source, {"type": "position", "points": [[48.8, 2.3]]}, "octahedral", **keys)
    assert str(refused.value) == expected


def test_a_point_outside_of_a_local_grid_is_refused(source: PolytopeDataSource) -> None:
    with pytest.raises(DataSourceError, match=r"\[10\.0, 10\.0\] is outside of the area of the fields"):
        retrieve(source, {"type": "position", "points": [[50, 0], [10, 10]]}, "local", param="2t", step="0")


def test_an_area_without_any_point_is_refused(source: PolytopeDataSource) -> None:
    feature = {"type": "boundingbox", "points": [[10.1, 10.1], [10.2, 10.2]]}
    with pytest.raises(DataSourceError, match="holds no point"):
        retrieve(source, feature, "regular", param="2t", step="0")


def test_too_many_values_are_refused_before_they_are_extracted(
    source: PolytopeDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = open_source(source.settings.fdb_config, limits={"max_values": 1000})
    feature = {"type": "boundingbox", "points": [[-90, 0], [90, 360]]}
    with pytest.raises(DataSourceError, match="describes 5248 values; at most 1000 are accepted"):
        retrieve(small, feature, "octahedral", param="2t", step="0")


def test_accumulations_keep_their_values_and_times(source: PolytopeDataSource) -> None:
    feature = {"type": "position", "points": [[48.8, 2.3]]}
    found = retrieve(source, feature, "octahedral", param="tp", step="6/12")
    index = nearest("octahedral", 48.8, 2.3)
    expected = [make("octahedral", "228", step=step).values[index] for step in ("6", "12")]
    assert found["coverages"][0]["ranges"]["tp"]["values"] == expected


def test_parameters_on_different_grids_are_answered_each_on_its_own(tmp_path: Path) -> None:
    config = fill(tmp_path, ["octahedral"])
    fdb = pyfdb.FDB(config)
    for step in STEPS[:2]:
        fdb.archive(make("regular", "165", step=step, expver=GRIDS["octahedral"]).message)
    fdb.flush()
    point = [40.4, 3.4]
    feature = {"type": "position", "points": [point]}
    found = retrieve(open_source(config), feature, "octahedral", param="2t/10u", step="0/6")
    values = {name: one["values"] for cover in found["coverages"] for name, one in cover["ranges"].items()}
    expected = {"2t": ("octahedral", "167"), "10u": ("regular", "165")}
    for name, (grid, param) in expected.items():
        fields = [make(grid, param, step=step, expver=GRIDS["octahedral"]) for step in STEPS[:2]]
        assert values[name] == [field.values[nearest(grid, *point)] for field in fields]
    assert list(found["parameters"]) == ["2t", "10u"]


def test_fields_that_have_another_grid_than_before_are_read_again(tmp_path: Path) -> None:
    config = fill(tmp_path, ["octahedral"])
    fdb = pyfdb.FDB(config)
    new = make("regular", "167", date=DATES[1], step="30", expver=GRIDS["octahedral"])
    fdb.archive(new.message)
    fdb.flush()
    source = open_source(config)
    feature = {"type": "position", "points": [[48.8, 2.3]]}
    retrieve(source, feature, "octahedral", param="2t", step="0")
    found = retrieve(source, feature, "octahedral", param="2t", step="30", date=DATES[1])
    assert found["coverages"][0]["ranges"]["2t"]["values"] == [new.values[nearest("regular", 48.8, 2.3)]]
    with pytest.raises(DataSourceError, match="the fields of one parameter are on different grids"):
        retrieve(source, feature, "octahedral", param="2t", step="24/30", date=DATES[1])


def test_a_file_that_cannot_be_read_is_tried_again_later(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path, ["octahedral"]))
    feature = {"type": "position", "points": [[48.8, 2.3]]}
    keys = {"param": "2t", "step": "0", "date": "/".join(DATES)}
    retrieve(source, feature, "octahedral", **keys)
    for file in (tmp_path / "data").glob(f"*{DATES[0]}*/fc:sfc*.data"):
        file.unlink()
    with pytest.raises(TemporaryError, match="cannot read the data at the moment"):
        retrieve(source, feature, "octahedral", **keys)


@pytest.mark.parametrize("name", ["with space", "per%20cent", "hash#mark", "question?mark", "ümlaut"])
def test_the_archive_may_be_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    source = open_source(fill(root, ["ring"]))
    found = retrieve(source, {"type": "position", "points": [[48.8, 2.3]]}, "ring", param="2t", step="0")
    expected = make("ring", "167").values[nearest("ring", 48.8, 2.3)]
    assert found["coverages"][0]["ranges"]["2t"]["values"] == [expected]


def test_two_archives_in_one_process_never_mix(source: PolytopeDataSource, tmp_path: Path) -> None:
    keys = {"param": "2t", "date": DATES[0]}
    other = open_source(fill(tmp_path, ["local"], shift=1000.0))
    feature = {**SERIES, "points": NEAR}
    expected = [
        [
            [make("local", "167", step=step, shift=shift).values[nearest("local", *place)] for step in STEPS]
            for place in NEAR
        ]
        for shift in (0.0, 1000.0)
    ]
    for _ in range(500 if FULL else 100):
        assert [_series(one, feature, **keys) for one in (source, other)] == expected


def _series(source: PolytopeDataSource, feature: dict[str, Any], **keys: Any) -> list[list[float]]:
    found = retrieve(source, feature, "local", **keys)
    return [one["ranges"]["2t"]["values"] for one in found["coverages"]]


def test_it_says_how_much_a_request_asks_for(source: PolytopeDataSource) -> None:
    asked = {**request("octahedral", param="2t"), "feature": {**SERIES, "points": NEAR}}
    values = sum(
        len(one["values"])
        for coverage in retrieve(source, asked["feature"], "octahedral", param="2t")["coverages"]
        for one in coverage["ranges"].values()
    )
    answer = source.answer(Question("estimate", asked))
    [grid] = answer.value["grids"]
    assert answer.value["values"] == values
    assert (grid["type"], grid["points"]) == ("reduced_gg", len(coordinates("octahedral")[0]))
    assert answer.seconds > 0
    assert source.answer(Question("check", asked)).value == []


def test_it_says_what_makes_a_request_fail(source: PolytopeDataSource) -> None:
    feature = {**SERIES, "points": NEAR, "range": {"start": 0, "end": 24, "interval": 1}}
    asked = {**request("octahedral", param="2t"), "feature": feature}
    with pytest.raises(DataSourceError, match=r"steps 1, 2, 3.* are not in the archive"):
        source.answer(Question("check", asked))


def test_what_there_is_does_not_depend_on_keys_that_choose_no_field(source: PolytopeDataSource) -> None:
    fixed = {"class": "od", "stream": "oper"}
    found = source.answer(Question(CONTENTS, fixed)).value
    assert found["step"]["count"] == len(STEPS)
    others = {"format": "covjson", "levelist": "off"}
    assert source.answer(Question(CONTENTS, {**fixed, **others})).value == found
    with pytest.raises(DataSourceError, match="key 'parm' is not one of the FDB's"):
        source.answer(Question(CONTENTS, {"parm": "2t"}))
