"""Results of features are opened by today's clients, and in the other style they are valid CoverageJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_fields import DATES, LEVELS, MEMBERS, STEPS, fill, make, nearest, request
from opened_coverages import decode, open_file

from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

# The clients are imported by the tests that need them: it takes seconds, in each process that collects tests.
GRID = "octahedral"
POINT = [48.8, 2.3]
ENSEMBLE = {"stream": "enfo", "type": "pf", "number": "/".join(MEMBERS)}
LEVELED = {"levtype": "pl", "levelist": "/".join(LEVELS), "param": "t"}
FEATURES = {
    "timeseries": ({"points": [POINT], "time_axis": "step"}, {"step": "0/6/12", "param": "2t/msl"}),
    "series of members": (
        {"type": "timeseries", "points": [POINT], "time_axis": "step"},
        {**ENSEMBLE, "step": "0/6", "param": "2t"},
    ),
    "verticalprofile": ({"points": [POINT], "axes": "levelist"}, {**LEVELED, "step": "0/6"}),
    "boundingbox": ({"points": [[40, 0], [55, 15]]}, {"step": "0/6", "param": "2t/msl"}),
    "box of members": (
        {"type": "boundingbox", "points": [[40, 0], [55, 15]]},
        {**ENSEMBLE, "step": "0/6", "param": "2t"},
    ),
    "polygon": ({"shape": [[40, 0], [55, 0], [55, 15], [40, 0]]}, {"step": "0", "param": "2t"}),
    "circle": ({"center": [POINT], "radius": 5}, {"step": "0", "param": "2t"}),
    "position": ({"points": [POINT]}, {"step": "0/6", "param": "2t"}),
    "trajectory": (
        {"points": [[40, 0], [55, 15]], "axes": ["latitude", "longitude"], "inflation": 3},
        {"step": "0", "param": "2t"},
    ),
    "frame": (
        {"outer_box": [[40, 0], [60, 20]], "inner_box": [[45, 5], [55, 15]]},
        {"step": "0", "param": "2t"},
    ),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return fill(tmp_path_factory.mktemp("features"), [GRID])


@pytest.fixture(scope="module")
def published(config: dict[str, Any]) -> PolytopeDataSource:
    return _open(config, "published")


@pytest.fixture(scope="module")
def standard(config: dict[str, Any]) -> PolytopeDataSource:
    return _open(config, "standard")


def _open(config: dict[str, Any], style: str) -> PolytopeDataSource:
    settings = {"gribjump_config": {}, "fdb_config": config, "coverage": style}
    source = PolytopeDataSource("features", PolytopeSettings.model_validate(settings))
    source.prepare()
    return source


def retrieve(source: PolytopeDataSource, name: str) -> Any:
    feature, keys = FEATURES[name]
    found = source.retrieve(job({**request(GRID, **keys), "feature": {"type": name, **feature}}))
    return json.loads(b"".join(found.chunks))


@pytest.mark.parametrize("name", FEATURES)
def test_covjsonkit_decodes_the_published_style(published: PolytopeDataSource, name: str) -> None:
    [found] = decode(json.dumps(retrieve(published, name)))
    values = np.asarray(found["2t" if "2t" in found else "t"].values)
    assert np.isfinite(values.astype(float)).all()


@pytest.mark.parametrize("name", FEATURES)
def test_the_standard_style_is_valid_coverage_json(standard: PolytopeDataSource, name: str) -> None:
    from covjson_pydantic.coverage import CoverageCollection

    CoverageCollection.model_validate_json(json.dumps(retrieve(standard, name)))


def test_earthkit_data_opens_a_result_as_xarray(published: PolytopeDataSource, tmp_path: Path) -> None:
    path = tmp_path / "series.covjson"
    path.write_text(json.dumps(retrieve(published, "timeseries")))
    [found] = open_file(path)
    index = nearest(GRID, *POINT)
    expected = [make(GRID, "167", date=DATES[0], step=step).values[index] for step in STEPS[:3]]
    assert np.ravel(found["2t"].values).tolist() == expected


def test_the_standard_style_has_longitudes_as_x_and_the_time_of_each_value(
    standard: PolytopeDataSource,
) -> None:
    box = retrieve(standard, "boundingbox")
    first, second = box["coverages"]
    assert [one["domain"]["axes"]["t"]["values"] for one in (first, second)] == [
        ["2026-01-01T00:00:00Z"],
        ["2026-01-01T06:00:00Z"],
    ]
    assert all(0 <= x <= 15 and 40 <= y <= 55 for x, y, _ in first["domain"]["axes"]["composite"]["values"])
    path = retrieve(standard, "trajectory")["coverages"][0]["domain"]["axes"]["composite"]["values"]
    assert {time for time, *_ in path} == {"2026-01-01T00:00:00Z"}
