"""Grids without a closed form: projected and rotated ones, and unstructured ones that a mapper describes."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pyfdb
import pytest
from fdb_fields import FILED

from polytope_demonstration import fdb as demo
from polytope_server.datasource import DataSourceError
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job
from testbed.services import NotInstalledError, programs

STEPS = (0, 6)
LABEL = {"class": "od", "stream": "oper", "type": "fc", "domain": "g", "date": "20260101", "time": "0000"}
LABEL |= {"levtype": "sfc", "param": "167", "step": "0/6"}
_METRES = {"Nx": 61, "Ny": 51, "DxInMetres": 50_000, "DyInMetres": 50_000, "shapeOfTheEarth": 6}
_CONIC = {"Latin1InDegrees": 46.4, "Latin2InDegrees": 46.4, "LaDInDegrees": 46.4, "LoVInDegrees": 5}
_CONIC |= {"latitudeOfFirstGridPointInDegrees": 32, "longitudeOfFirstGridPointInDegrees": 348}
_POLAR = {"LaDInDegrees": 60, "orientationOfTheGridInDegrees": 0}
_POLAR |= {"latitudeOfFirstGridPointInDegrees": 33, "longitudeOfFirstGridPointInDegrees": 330}
_ROTATED = {
    "Ni": 61, "Nj": 51, "iDirectionIncrementInDegrees": 0.5, "jDirectionIncrementInDegrees": 0.5,
    "latitudeOfFirstGridPointInDegrees": 12, "latitudeOfLastGridPointInDegrees": -13,
    "longitudeOfFirstGridPointInDegrees": 345, "longitudeOfLastGridPointInDegrees": 15,
    "latitudeOfSouthernPoleInDegrees": -43, "longitudeOfSouthernPoleInDegrees": 10,
}  # fmt: skip
#: By experiment version: the type of the grid, and its keys.
GRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lamb": ("lambert", {**_METRES, **_CONIC, "jScansPositively": 1}),
    "llam": ("lambert_lam", {**_METRES, **_CONIC, "jScansPositively": 1}),
    "pola": ("polar_stereographic", {**_METRES, **_POLAR, "Nx": 121, "jScansPositively": 1}),
    "rota": ("rotated_ll", _ROTATED),
    "unst": ("unstructured_grid", {"numberOfDataPoints": 1500}),
}
PROJECTED = ("lamb", "llam", "pola", "rota")
PLACES = [[48.8, 2.3], [51.5, -0.1], [45.1, 359.9], [44.4, 8.9]]
_RANDOM = np.random.default_rng(3)
CELLS = np.column_stack((_RANDOM.uniform(42, 54, 1500), _RANDOM.uniform(-4, 14, 1500)))


def template(expver: str) -> int:
    kind, keys = GRIDS[expver]
    handle: int = eccodes.codes_grib_new_from_samples("GRIB2")
    for key, value in {"gridType": kind, **keys}.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.linspace(1, 2, _size(handle)))
    about = {"tablesVersion": 33, "setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "od"}
    about |= {"type": "fc", "stream": "oper", "expver": expver, "dataDate": 20260101, "dataTime": 0}
    for key, value in {**about, "paramId": 167, "bitsPerValue": 16}.items():
        eccodes.codes_set(handle, key, value)
    return handle


def _size(handle: int) -> int:
    numbers = [
        eccodes.codes_get(handle, key) for key in ("Nx", "Ny") if eccodes.codes_is_defined(handle, key)
    ]
    return int(np.prod(numbers)) if numbers else int(eccodes.codes_get(handle, "numberOfDataPoints"))


class Fields:
    """The fields of each grid, as they decode, and the coordinates of their points."""

    def __init__(self, root: Path) -> None:
        (root / "schema").write_text(FILED)
        (root / "data").mkdir()
        self.config = demo.configuration(root)
        self.values: dict[tuple[str, int], Any] = {}
        self.md5: dict[str, str] = {}
        self.coordinates: dict[str, tuple[Any, Any]] = {"unst": (CELLS[:, 0], CELLS[:, 1])}
        fdb = pyfdb.FDB(self.config)
        for expver in GRIDS:
            handle = template(expver)
            self.md5[expver] = eccodes.codes_get(handle, "md5GridSection")
            if expver in PROJECTED:
                keys = ("latitudes", "longitudes")
                self.coordinates[expver] = tuple(eccodes.codes_get_array(handle, key) for key in keys)
            for step in STEPS:
                eccodes.codes_set(handle, "step", step)
                eccodes.codes_set_values(
                    handle, _RANDOM.normal(280, 20, eccodes.codes_get_size(handle, "values"))
                )
                self.values[expver, step] = eccodes.codes_get_array(handle, "values")
                fdb.archive(eccodes.codes_get_message(handle))
            eccodes.codes_release(handle)
        fdb.flush()

    def nearest(self, expver: str, latitude: float, longitude: float) -> int:
        latitudes, longitudes = map(np.radians, self.coordinates[expver])
        lat, lon = np.radians(latitude), np.radians(longitude)
        square = np.sin((latitudes - lat) / 2) ** 2
        return int((square + np.cos(latitudes) * np.cos(lat) * np.sin((longitudes - lon) / 2) ** 2).argmin())


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Fields:
    return Fields(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def source(fields: Fields) -> PolytopeDataSource:
    """One whose configuration describes the unstructured grid as the published stack wants it."""
    mapper = {"name": "mapper", "type": "unstructured", "resolution": 0, "axes": ["latitude", "longitude"]}
    mapper |= {"md5_hash": fields.md5["unst"], "points": CELLS.tolist()}
    return open_source(
        fields, options={"axis_config": [{"axis_name": "values", "transformations": [mapper]}]}
    )


def open_source(fields: Fields, **settings: Any) -> PolytopeDataSource:
    settings = {"gribjump_config": {"type": "local"}, "fdb_config": fields.config, **settings}
    source = PolytopeDataSource("features", PolytopeSettings.model_validate(settings))
    source.prepare()
    return source


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published library can be imported; what else is in its folder is not preferred."""
    try:
        monkeypatch.setattr(sys, "path", [*sys.path, programs.program("published")])
    except NotInstalledError as error:
        pytest.skip(str(error))


def retrieve(source: PolytopeDataSource, expver: str, **feature: Any) -> Any:
    found = source.retrieve(job({**LABEL, "expver": expver, "feature": feature}))
    return json.loads(b"".join(found.chunks))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("expver", GRIDS)
class TestGridsWithoutAClosedForm:
    def test_a_series_has_the_nearest_points(
        self, source: PolytopeDataSource, fields: Fields, expver: str
    ) -> None:
        found = retrieve(source, expver, type="timeseries", points=PLACES, time_axis="step")["coverages"]
        indices = [fields.nearest(expver, *place) for place in PLACES]
        expected = [[fields.values[expver, step][index] for step in STEPS] for index in indices]
        assert [one["ranges"]["2t"]["values"] for one in found] == expected
        latitudes, longitudes = fields.coordinates[expver]
        for one, index in zip(found, indices, strict=True):
            axes = one["domain"]["axes"]
            assert axes["latitude"]["values"] == [pytest.approx(latitudes[index])]
            assert axes["longitude"]["values"] == [pytest.approx(longitudes[index] % 360)]

    def test_a_box_across_greenwich_has_all_points_in_it(
        self, source: PolytopeDataSource, fields: Fields, expver: str
    ) -> None:
        found = retrieve(source, expver, type="boundingbox", points=[[45, -3], [49, 6]])["coverages"]
        latitudes, longitudes = fields.coordinates[expver]
        turned = (longitudes + 180) % 360 - 180
        inside = np.flatnonzero((latitudes >= 45) & (latitudes <= 49) & (turned >= -3) & (turned <= 6))
        assert len(inside) > 20
        for step, one in zip(STEPS, found, strict=True):
            assert one["ranges"]["2t"]["values"] == fields.values[expver, step][inside].tolist()

    def test_a_path_has_the_points_beside_it(
        self, source: PolytopeDataSource, fields: Fields, expver: str
    ) -> None:
        path = {"type": "trajectory", "points": [[44, 1], [44, 9]], "axes": ["latitude", "longitude"]}
        (found,) = retrieve(source, expver, **path, inflation=0.8, inflate="round")["coverages"][:1]
        latitudes, longitudes = fields.coordinates[expver]
        turned = (longitudes + 180) % 360 - 180
        beyond = np.maximum(np.maximum(1 - turned, turned - 9), 0)
        inside = np.flatnonzero(np.hypot(latitudes - 44, beyond) <= 0.8)
        assert found["ranges"]["2t"]["values"] == fields.values[expver, 0][inside].tolist()


def test_a_place_outside_of_the_area_is_refused(source: PolytopeDataSource) -> None:
    with pytest.raises(DataSourceError, match=r"\[10\.0, 2\.0\] is outside of the area of the fields"):
        retrieve(source, "lamb", type="position", points=[[10, 2]])


def test_an_unstructured_grid_that_nothing_describes_is_refused_by_name(fields: Fields) -> None:
    with pytest.raises(DataSourceError, match=r"grid of the type unstructured_grid: where its points are"):
        retrieve(open_source(fields), "unst", type="position", points=PLACES)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "wrong",
    [{"type": "unstructured", "points": [[1, 2]]}, {"type": "icon", "uuid": "no such grid"}, {"type": "x"}],
)
def test_a_mapper_that_cannot_be_used_is_logged_and_the_grid_refused(
    fields: Fields, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    mapper = {"name": "mapper", "axes": ["latitude", "longitude"], "md5_hash": fields.md5["unst"], **wrong}
    options = {"axis_config": [{"axis_name": "values", "transformations": [mapper]}]}
    source = open_source(fields, options=options)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(DataSourceError, match="grid of the type unstructured"),
    ):
        retrieve(source, "unst", type="position", points=PLACES)
    assert "mapper" in caplog.text
    assert capfd.readouterr().out == ""
