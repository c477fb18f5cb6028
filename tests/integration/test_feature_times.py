"""Series along each time axis, and fields of periods, from an FDB that files them so."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pyfdb
import pytest
from published_grids import PITCH, grid_of

from polytope_demonstration import fdb as demo
from polytope_server.datasource import DataSourceError
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

TYPES = "param: Param; step: Step; date: Date; hdate: Date; time: Time; expver: Expver; year: Integer;"
TYPES += " month: Integer;\n"
PLACE = [[48.8, 2.3]]
DATES = ["20260101", "20260102", "20260103"]
FORECAST = {
    "class": "od",
    "stream": "enfo",
    "type": "ep",
    "expver": "0001",
    "levtype": "sfc",
    "param": "131060",
}
PERIODS = {**FORECAST, "date": "20260101", "time": "0000", "step": ["0-6", "0-24", "12-36", "24-48"]}
CLIMATE = {"class": "d1", "dataset": "climate-dt", "stream": "clte", "type": "fc", "expver": "0001"}
CLIMATE |= {"levtype": "sfc", "param": "167", "date": DATES, "time": ["0000", "0600", "1200", "1800"]}
MONTHS = {**CLIMATE, "stream": "clmn", "year": ["2040", "2041"], "month": [str(n) for n in range(1, 13)]}
MONTHS = {key: value for key, value in MONTHS.items() if key not in ("date", "time")}
HINDCASTS = {
    "class": "ce",
    "stream": "efcl",
    "type": "sfo",
    "expver": "0001",
    "levtype": "sfc",
    "param": "167",
}
HINDCASTS |= {"date": "20260101", "hdate": ["20240101", "20250101"], "time": "0000", "step": ["6", "12"]}
SCHEMAS = {
    "periods": "[ class, stream, expver, date, time [ type, levtype [ step, param ]]]",
    "climate": "[ class, dataset, stream, expver, date [ type, levtype [ time, param ]]]",
    "months": "[ class, dataset, stream, expver, year [ month, type, levtype [ param ]]]",
    "hindcasts": "[ class, stream, expver, date [ type, levtype, hdate [ time, step, param ]]]",
}
ARCHIVED: dict[str, dict[str, Any]] = {
    "periods": PERIODS,
    "climate": CLIMATE,
    "months": MONTHS,
    "hindcasts": HINDCASTS,
}


class Source:
    """A data source, and the fields of its FDB in the order of their numbers."""

    def __init__(self, root: Path, name: str) -> None:
        root.mkdir()
        (root / "schema").write_text(TYPES + SCHEMAS[name])
        (root / "data").mkdir()
        self.keys = ARCHIVED[name]
        grid = grid_of("ifs", {"type": "timeseries"})
        config = demo.configuration(root)
        fdb = pyfdb.FDB(config)
        several = {key: value for key, value in self.keys.items() if isinstance(value, list)}
        self.fields = list(product(*several.values()))
        for number, values in enumerate(self.fields):
            field = {**self.keys, **dict(zip(several, values, strict=True))}
            fdb.archive(grid.message(field["param"], number), field)
        fdb.flush()
        settings = PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config})
        self._source = PolytopeDataSource(name, settings)
        self._source.prepare()

    def series(self, axis: str, asked: Any = None, **keys: str) -> list[Any]:
        """The coverages of a series; of what the request does not name, all that is archived."""
        whole = {
            key: "/".join(value) if isinstance(value, list) else value for key, value in self.keys.items()
        }
        feature = {"type": "timeseries", "points": PLACE, "time_axis": axis}
        if asked is not None:
            feature["range"] = asked
            del whole[axis]
        found = self._source.retrieve(job({**whole, **keys, "feature": feature}))
        return list(json.loads(b"".join(found.chunks))["coverages"])

    def fields_of(self, coverage: Any) -> list[tuple[str, ...]]:
        """The fields that the values of a coverage are of."""
        [part] = coverage["ranges"].values()
        return [self.fields[round(value) // PITCH] for value in part["values"]]


def times(coverage: Any) -> list[str]:
    return [time.removesuffix(":00:00Z") for time in coverage["domain"]["axes"]["t"]["values"]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    root = tmp_path_factory.mktemp("times")
    return {name: Source(root / name, name) for name in ARCHIVED}


def test_periods_end_at_their_times_and_are_named(sources: dict[str, Source]) -> None:
    source = sources["periods"]
    [found] = source.series("step")
    assert times(found) == ["2026-01-01T06", "2026-01-02T00", "2026-01-02T12", "2026-01-03T00"]
    assert source.fields_of(found) == [("0-6",), ("0-24",), ("12-36",), ("24-48",)]
    assert found["mars:metadata"]["step"] == ["0-6", "0-24", "12-36", "24-48"]


def test_a_period_that_is_missing_is_named(sources: dict[str, Source]) -> None:
    with pytest.raises(DataSourceError, match=r"step 6-12 of .* is not in the archive"):
        sources["periods"].series("step", step="0-6/6-12")


def test_a_series_of_days_at_several_times_is_one_of_days_and_times(sources: dict[str, Source]) -> None:
    source = sources["climate"]
    [found] = source.series("date", {"start": "20260102", "end": "20260103"}, time="0600/1800")
    assert times(found) == ["2026-01-02T06", "2026-01-02T18", "2026-01-03T06", "2026-01-03T18"]
    assert source.fields_of(found) == list(product(DATES[1:], ("0600", "1800")))


@pytest.mark.parametrize(
    ("axis", "asked", "keys", "expected"),
    [
        (
            "month",
            {"start": 11, "end": 12},
            {},
            [("2040", "11"), ("2040", "12"), ("2041", "11"), ("2041", "12")],
        ),
        ("month", {"start": 1, "end": 12, "interval": 6}, {"year": "2041"}, [("2041", "1"), ("2041", "7")]),
        ("year", {"start": 2040, "end": 2041}, {"month": "2"}, [("2040", "2"), ("2041", "2")]),
        ("year", [2041], {"month": "3/4"}, [("2041", "3"), ("2041", "4")]),
    ],
)
def test_a_series_of_months_and_years_is_one(
    sources: dict[str, Source], axis: str, asked: Any, keys: dict[str, str], expected: list[Any]
) -> None:
    [found] = sources["months"].series(axis, asked, **keys)
    assert sources["months"].fields_of(found) == expected
    assert times(found) == [f"{year}-{int(month):02}-01T00" for year, month in expected]


def test_a_series_of_hindcasts_has_one_for_each_of_their_dates(sources: dict[str, Source]) -> None:
    source = sources["hindcasts"]
    found = source.series("hdate", {"start": "20240101", "end": "20251231"})
    assert [one["mars:metadata"]["Forecast date"] for one in found] == [
        "2024-01-01T00:00:00Z",
        "2025-01-01T00:00:00Z",
    ]
    for one, day in zip(found, ("20240101", "20250101"), strict=True):
        assert source.fields_of(one) == [(day, "6"), (day, "12")]
    assert times(found[1]) == ["2025-01-01T06", "2025-01-01T12"]
