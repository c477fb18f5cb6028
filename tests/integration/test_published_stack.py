"""The same requests to the published stack: equal values and shapes where it is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import eccodes
import numpy as np
import pyfdb
import pytest
from feature_fields import LABEL, fill, request, template

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job
from testbed.line_process import QuestionError
from testbed.published_stack import PublishedStack
from testbed.services import NotInstalledError

pytestmark = pytest.mark.unmeasured

Keys = dict[str, Any]

#: Places that have one nearest point; the order is the published one, from south to north.
PLACES = [[40.4, 11.3], [48.8, 2.4], [51.5, 15.2]]
UPPER = {"param": "130", "levtype": "pl"}
SERIES: Keys = {"type": "timeseries", "points": PLACES, "time_axis": "step"}
BOX: Keys = {"type": "boundingbox", "points": [[35, 1], [47, 21]]}
CIRCLE: Keys = {"type": "circle", "center": [[46.3, 13.1]], "radius": 7.05}
PATH: Keys = {"type": "trajectory", "points": [[40, 3], [50, 20]], "axes": ["latitude", "longitude"]}
PATH |= {"inflation": 2.5}
#: A feature, and what it is of.
FORMS: dict[str, tuple[Keys, Keys]] = {
    "series": ({**SERIES, "range": {"start": 0, "end": 24}}, {"param": "167"}),
    "series of members": (
        {**SERIES, "range": {"start": 0, "end": 6}},
        {"param": "167", "stream": "enfo", "type": "pf", "number": "1/2/3"},
    ),
    "series of sums": (SERIES, {"param": "228", "step": "6/12"}),
    "profile": (
        {"type": "verticalprofile", "points": PLACES, "axes": "levelist"},
        {**UPPER, "param": "130/133", "levelist": "500/850/1000", "step": "6"},
    ),
    "position": ({"type": "position", "points": PLACES}, {"param": "167", "step": "0/6"}),
    "box": (BOX, {"param": "167", "step": "0/6"}),
    "box of levels": (BOX, {**UPPER, "levelist": "500/850", "step": "0"}),
    "box with points without values": (BOX, {"param": "34", "step": "0"}),
    "polygon": (
        {"type": "polygon", "shape": [[31.1, 2.3], [58.7, 8.2], [33.3, 25.9], [31.1, 2.3]]},
        {"param": "167", "step": "0"},
    ),
    "circle": (CIRCLE, {"param": "167", "step": "0"}),
    "path": (PATH, {"param": "167", "step": "0"}),
}
#: Grids, as the configuration of the published stack describes them.
MAPPERS: dict[str, Keys] = {
    "octahedral": {"type": "octahedral", "resolution": 32},
    "regular": {"type": "regular", "resolution": 30},
    "local": {
        "type": "local_regular",
        "resolution": [60, 100],
        "local": [30, 60, -20, 30],
        "axis_reversed": {"latitude": True, "longitude": False},
    },
    "ring": {"type": "healpix", "resolution": 16},
    "nested": {"type": "healpix_nested", "resolution": 16},
}
N320 = {**LABEL, "levtype": "sfc", "expver": "n320", "date": "20260101", "param": "167", "step": "0/6"}


class Both(NamedTuple):
    """Both stacks on one FDB."""

    source: PolytopeDataSource
    published: PublishedStack

    def ours(self, asked: Keys) -> Any:
        return json.loads(b"".join(self.source.retrieve(job(asked)).chunks))

    def theirs(self, asked: Keys, mapper: Keys | None = None, grid: str = "octahedral") -> Any:
        sum_ = {"md5_hash": eccodes.codes_get(template(grid), "md5GridSection")}
        return self.published.extract(asked, mapper or {**sum_, **MAPPERS[grid]})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    config = fill(tmp_path_factory.mktemp("both"), (*MAPPERS, "reduced"))
    settings = PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config})
    source = PolytopeDataSource("features", settings)
    source.prepare()
    try:
        with PublishedStack(config) as published:
            yield Both(source, published)
    except NotInstalledError as error:
        pytest.skip(str(error))


def values_of(found: Any) -> dict[tuple[Any, ...], Any]:
    """The values of a result by parameter, member, and where and when their coverage says they are."""
    values = {}
    for one in found["coverages"]:
        axes, about = one["domain"]["axes"], one["mars:metadata"]
        if "composite" in axes:
            places = [(about.get("step"), *map(_rounded, place)) for place in axes["composite"]["values"]]
        else:
            (lat,), (lon,) = axes["latitude"]["values"], axes["longitude"]["values"]
            where = _rounded(lat), _rounded(lon % 360)
            places = [(*where, level, t) for level in axes["levelist"]["values"] for t in axes["t"]["values"]]
        for name, values_of_one in one["ranges"].items():
            for place, value in zip(places, values_of_one["values"], strict=True):
                number = None if value is None or np.isnan(value) else _rounded(value)
                assert values.setdefault((name, about.get("number"), *place), number) == number
    return values


def _rounded(value: float) -> float:
    return round(value, 5)


def shape_of(found: Any) -> Any:
    """A result without values, and without the texts that explain its parameters."""
    parameters = {
        name: {key: value for key, value in one.items() if key != "description"}
        for name, one in found["parameters"].items()
    }
    coverages = [
        (
            one["mars:metadata"],
            one["type"],
            one["domain"]["type"],
            {key: {**axis, "values": len(axis["values"])} for key, axis in one["domain"]["axes"].items()},
            {key: {**part, "values": len(part["values"])} for key, part in one["ranges"].items()},
        )
        for one in found["coverages"]
    ]
    return {**found, "parameters": parameters, "coverages": coverages}


#: The published circle is larger, which shows on a grid as fine as this: see below.
OTHERWISE = {("local", "circle"), ("local", "path")}
ALIKE = [(grid, form) for grid in MAPPERS for form in FORMS if (grid, form) not in OTHERWISE]


@pytest.mark.parametrize(("grid", "form"), ALIKE)
def test_values_and_shape_are_equal(both: Both, grid: str, form: str) -> None:
    feature, keys = FORMS[form]
    asked = {**request(grid, **keys), "feature": feature}
    ours, theirs = both.ours(asked), both.theirs(asked, grid=grid)
    assert values_of(ours) == values_of(theirs)
    assert shape_of(ours) == shape_of(theirs)


class TestWhereThePublishedStackIsWrong:
    """Each of these is in docs/features.md."""

    def test_its_nearest_point_is_not_always_the_nearest(self, both: Both) -> None:
        asked = {**request("octahedral", param="167", step="0")}
        asked["feature"] = {"type": "position", "points": [[45.0, 359.9]]}
        place = both.ours(asked)["coverages"][0]["domain"]["axes"]
        other = both.theirs(asked)["coverages"][0]["domain"]["axes"]
        assert place["longitude"]["values"][0] == 0
        assert other["longitude"]["values"][0] > 350

    def test_its_points_are_in_an_order_of_their_own(self, both: Both) -> None:
        asked = {**request("octahedral", param="167", step="0")}
        asked["feature"] = {"type": "position", "points": PLACES[::-1]}
        assert _latitudes(both.ours(asked)) == _latitudes(both.theirs(asked))[::-1]

    def test_it_merges_points_that_have_one_grid_point(self, both: Both) -> None:
        asked = {**request("octahedral", param="167", step="0")}
        asked["feature"] = {"type": "position", "points": [PLACES[0], PLACES[0]]}
        assert len(both.ours(asked)["coverages"]) == 2
        assert len(both.theirs(asked)["coverages"]) == 1

    def test_it_gives_the_levels_of_a_path_wrongly(self, both: Both) -> None:
        path = {**PATH, "points": [[40, 3, 1000], [50, 20, 500]], "axes": [*PATH["axes"], "levelist"]}
        path |= {"inflation": [2.5, 2.5, 200], "inflate": "box"}
        asked = {**request("octahedral", param="130", levtype="pl", step="0"), "feature": path}
        ours, theirs = values_of(both.ours(asked)), values_of(both.theirs(asked))
        assert sorted(ours.values()) == sorted(theirs.values())
        assert set(ours) != set(theirs)

    def test_it_drops_steps_that_are_missing(self, both: Both) -> None:
        asked = {**request("octahedral", param="167", step="0/6/9"), "feature": SERIES}
        assert len(both.theirs(asked)["coverages"][0]["domain"]["axes"]["t"]["values"]) == 2
        with pytest.raises(DataSourceError, match="step 9 of 2 metre temperature is not in the archive"):
            both.ours(asked)

    def test_it_takes_latitudes_beyond_the_poles(self, both: Both) -> None:
        asked = {**request("octahedral", param="167", step="0")}
        asked["feature"] = {"type": "position", "points": [[91, 0]]}
        assert both.theirs(asked)["coverages"]
        with pytest.raises(DataSourceError, match="latitude 91 is not accepted; expected -90 to 90"):
            both.ours(asked)

    def test_its_circle_reaches_further_than_its_radius(self, both: Both) -> None:
        asked = {**request("local", param="167", step="0"), "feature": CIRCLE}
        ours, theirs = values_of(both.ours(asked)), values_of(both.theirs(asked, grid="local"))
        assert ours.items() < theirs.items()
        beyond = [np.hypot(place[3] - 46.3, place[4] - 13.1) for place in theirs.keys() - ours.keys()]
        assert min(beyond) > 7.05

    def test_it_knows_few_reduced_grids(self, both: Both) -> None:
        asked = {**request("reduced", param="167", step="0"), "feature": BOX}
        mapper = {"type": "reduced_gaussian", "resolution": 32}
        assert both.ours(asked)["coverages"]
        with pytest.raises(QuestionError, match="TypeError"):
            both.theirs(asked, mapper)

    def test_its_regular_grid_ends_before_the_south_pole(self, both: Both) -> None:
        asked = {**request("regular", param="167", step="0")}
        asked["feature"] = {"type": "position", "points": [[-90, 33]]}
        assert _latitudes(both.ours(asked)) == [-90]
        assert _latitudes(both.theirs(asked, grid="regular")) == [-87]

    def test_its_local_grid_has_nothing_west_of_greenwich(self, both: Both) -> None:
        box = {**BOX, "points": [[35, -12], [47, -2]]}
        asked = {**request("local", param="167", step="0"), "feature": box}
        assert both.ours(asked)["coverages"]
        with pytest.raises(QuestionError):
            both.theirs(asked, grid="local")


def _latitudes(found: Any) -> list[float]:
    return [round(one["domain"]["axes"]["latitude"]["values"][0], 4) for one in found["coverages"]]


def test_the_classic_reduced_grid_that_it_knows_is_equal(tmp_path: Path) -> None:
    config, md5 = _fill_n320(tmp_path)
    source = PolytopeDataSource(
        "n320", PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config})
    )
    source.prepare()
    mapper = {"type": "reduced_gaussian", "resolution": 320, "md5_hash": md5}
    try:
        with PublishedStack(config) as published:
            for feature in (SERIES, {**BOX, "points": [[40.2, 3.1], [44.4, 8.3]]}):
                asked = {**N320, "feature": feature}
                ours = json.loads(b"".join(source.retrieve(job(asked)).chunks))
                assert values_of(ours) == values_of(published.extract(asked, mapper))
    except NotInstalledError as error:
        pytest.skip(str(error))


def _fill_n320(root: Path) -> tuple[Any, str]:
    """Fields on N320, which the sample of ecCodes is."""
    config = fill(root, ())
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_320_grib2")
    keys: Keys = {"tablesVersion": 33, "setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "od"}
    keys |= {"type": "fc", "stream": "oper", "expver": "n320", "dataDate": 20260101, "dataTime": 0}
    for key, value in {**keys, "paramId": 167, "bitsPerValue": 16}.items():
        eccodes.codes_set(handle, key, value)
    fdb = pyfdb.FDB(config)
    random = np.random.default_rng(320)
    for step in (0, 6):
        eccodes.codes_set(handle, "step", step)
        eccodes.codes_set_values(handle, random.normal(280, 20, eccodes.codes_get_size(handle, "values")))
        fdb.archive(bytes(eccodes.codes_get_message(handle)))
    fdb.flush()
    return config, str(eccodes.codes_get(handle, "md5GridSection"))
