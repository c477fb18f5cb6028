"""Every kind of feature on every grid with a closed form: values and places against the decoded fields."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from feature_fields import GRIDS, LEVELS, MEMBERS, STEPS, coordinates, fill, make, request
from generated_places import Placed, Places

from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

#: How many features of each kind there are on a grid. The points of the local one are close together.
KINDS = {
    "timeseries": 2,
    "verticalprofile": 2,
    "position": 2,
    "boundingbox": 3,
    "polygon": 4,
    "circle": 3,
    "trajectory": 3,
    "frame": 3,
}
DENSE = frozenset({"local"})
#: The least number of values on each grid, and for each kind of feature.
VALUES, VALUES_OF_KIND = 2000, 100
#: Parameters at levels, and one at the surface, by their name in results.
LEVELED, SURFACE = {"t": "130", "q": "133"}, {"2t": "167"}

#: What a result says of a value: its parameter, step, level and member, and where it is.
Place = tuple[str, str, str, str, float, float]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PolytopeDataSource:
    config = fill(tmp_path_factory.mktemp("values"))
    settings = PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config})
    source = PolytopeDataSource("features", settings)
    source.prepare()
    return source


@pytest.mark.parametrize("grid", GRIDS)
def test_each_value_is_that_of_its_grid_point_in_the_decoded_field(
    source: PolytopeDataSource, grid: str
) -> None:
    places, counts = Places(grid), Counter[str]()
    for kind, features in KINDS.items():
        for _ in range(1 if grid in DENSE else features):
            placed = places.make(kind)
            found, expected = Counter(extract(source, grid, placed)), Counter(expect(grid, placed))
            assert found == expected, placed.feature
            counts[kind] += found.total()
    assert all(counts[kind] >= VALUES_OF_KIND for kind in KINDS), counts
    assert counts.total() >= VALUES


def extract(source: PolytopeDataSource, grid: str, placed: Placed) -> Iterator[tuple[Place, float]]:
    """What a result says of each value, and the value."""
    params = "/".join(_params(placed).values())
    asked = {**request(grid, param=params, **placed.keys), "feature": placed.feature}
    found = json.loads(b"".join(source.retrieve(job(asked)).chunks))
    for coverage in found["coverages"]:
        number = str(coverage["mars:metadata"].get("number", 0))
        places = list(_places(coverage, found["domainType"]))
        for name, part in coverage["ranges"].items():
            for (step, level, *where), value in zip(places, part["values"], strict=True):
                yield (name, str(step), str(level), number, *_rounded(*where)), value


def _places(coverage: Any, domain: str) -> Iterator[tuple[Any, Any, float, float]]:
    """Step, level, latitude and longitude of each value of a coverage."""
    axes, about = coverage["domain"]["axes"], coverage["mars:metadata"]
    if domain == "Trajectory":
        yield from ((step, level, lat, lon) for step, lat, lon, level in axes["composite"]["values"])
    elif "composite" in axes:
        yield from ((about["step"], level, lat, lon) for lat, lon, level in axes["composite"]["values"])
    else:
        (lat,), (lon,) = axes["latitude"]["values"], axes["longitude"]["values"]
        start = datetime.fromisoformat(about["Forecast date"])
        hours = ((datetime.fromisoformat(t) - start).total_seconds() // 3600 for t in axes["t"]["values"])
        yield from ((int(hour), level, lat, lon) for hour in hours for level in axes["levelist"]["values"])


def expect(grid: str, placed: Placed) -> Iterator[tuple[Place, float]]:
    """The same of the decoded fields, at the points that were found by looking at every point of the grid."""
    latitudes, longitudes = coordinates(grid)
    params = _params(placed)
    numbers = MEMBERS if "number" in placed.keys else ("0",)
    steps = placed.keys.get("step", "/".join(STEPS)).split("/")
    levels = LEVELS if "levtype" in placed.keys else ("0",)
    for name, param in params.items():
        for (step, level), indices in placed.indices_by_step_and_level(steps, levels):
            for number in numbers:
                field = make(
                    grid,
                    param,
                    step=step,
                    level=None if level == "0" else level,
                    number=None if number == "0" else number,
                )
                for n in indices:
                    where = _rounded(latitudes[n], longitudes[n])
                    yield (name, step, level, number, *where), float(field.values[n])


def _params(placed: Placed) -> dict[str, str]:
    return LEVELED if "levtype" in placed.keys else SURFACE


def _rounded(latitude: float, longitude: float) -> tuple[float, float]:
    """A place as precisely as GRIB has it."""
    return round(latitude, 5) + 0.0, round(longitude % 360, 5) % 360
