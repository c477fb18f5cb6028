"""The data source polytope keeps the contract of data sources."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from feature_fields import GRIDS, coordinates, fill, make, nearest, request

from polytope_server.datasource import Job
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import DataSourceContract, job

GRID, POINT = "octahedral", [48.8, 2.3]
POSITION = {"type": "position", "points": [POINT]}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PolytopeDataSource:
    return open_source(fill(tmp_path_factory.mktemp("features"), [GRID]))


def open_source(config: dict[str, Any]) -> PolytopeDataSource:
    settings = PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config})
    source = PolytopeDataSource("features", settings)
    source.prepare()
    return source


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, prepared: PolytopeDataSource) -> PolytopeDataSource:
        return prepared

    @pytest.fixture
    def good(self) -> Job:
        return job({**request(GRID, param="2t", step="0/6"), "feature": POSITION})

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        index = nearest(GRID, *POINT)
        latitude, longitude = (float(one[index]) for one in coordinates(GRID))
        values = [float(make(GRID, "167", step=step).values[index]) for step in ("0", "6")]
        coverage = {
            "mars:metadata": {
                **{key: request(GRID)[key] for key in ("class", "stream", "type", "domain")},
                "levtype": "sfc",
                "expver": GRIDS[GRID],
                "number": 0,
                "Forecast date": "2026-01-01T00:00:00Z",
            },
            "type": "Coverage",
            "domain": {
                "type": "Domain",
                "axes": {
                    "latitude": {"values": [latitude]},
                    "longitude": {"values": [longitude]},
                    "levelist": {"values": [0]},
                    "t": {"values": ["2026-01-01T00:00:00Z", "2026-01-01T06:00:00Z"]},
                },
            },
            "ranges": {
                "2t": {
                    "type": "NdArray",
                    "dataType": "float",
                    "shape": [2],
                    "axisNames": ["2t"],
                    "values": values,
                }
            },
        }
        name = "2 metre temperature"
        parameter = {"type": "Parameter", "description": {"en": name}, "unit": {"symbol": "K"}}
        parameter["observedProperty"] = {"id": "2t", "label": {"en": name}}
        geographic = {"type": "GeographicCRS", "id": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}
        whole = {
            "type": "CoverageCollection",
            "domainType": "PointSeries",
            "parameters": {"2t": parameter},
            "referencing": [{"coordinates": ["latitude", "longitude", "levelist"], "system": geographic}],
            "coverages": [coverage],
        }
        # With the space by which earthkit-data knows such a file.
        text = orjson.dumps(whole).replace(b'"type":', b'"type": ', 1)
        return text, "application/prs.coverage+json"

    @pytest.fixture
    def bad(self) -> Job:
        return job({**request(GRID, param="2t", step="0"), "feature": {**POSITION, "points": [[91, 0]]}})
