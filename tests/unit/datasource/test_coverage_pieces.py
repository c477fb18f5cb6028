"""CoverageJSON that is written piece by piece."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from polytope_server.datasource.polytope.coverage import labels
from polytope_server.datasource.polytope.coverage.pieces import (
    Coverage,
    Range,
    axis_values,
    chunks,
    collection,
    joined,
    numbers,
)


def written(pieces: Any) -> Any:
    return json.loads(b"".join(pieces))


def test_a_collection_has_all_of_its_coverages_and_ranges() -> None:
    ranges = [
        Range("2t", "t", 3, [np.array([1.5, 2.5]), np.array([np.nan])]),
        Range('a "name"', "t", 1, [np.array([4.0])]),
    ]
    one = Coverage({"step": "0-6"}, [axis_values({"t": ["now"]})], ranges)
    other = Coverage({}, [b"{}"], [])
    found = written(collection({"domainType": "PointSeries"}, [one, other]))
    assert found["type"] == "CoverageCollection"
    first, second = found["coverages"]
    assert first["mars:metadata"] == {"step": "0-6"}
    assert first["domain"] == {"type": "Domain", "axes": {"t": {"values": ["now"]}}}
    assert first["ranges"]["2t"] == {
        "type": "NdArray", "dataType": "float", "shape": [3], "axisNames": ["t"], "values": [1.5, 2.5, None],
    }  # fmt: skip
    assert first["ranges"]['a "name"']["values"] == [4.0]
    assert second["ranges"] == {}


def test_numbers_come_in_pieces_that_are_not_large() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    pieces = list(numbers(values))
    assert max(map(len, pieces)) < 1 << 20
    assert len(pieces) > 1
    assert json.loads(b"[" + b"".join(joined([pieces])) + b"]") == values.tolist()


def test_columns_of_an_array_become_tuples() -> None:
    values = np.array([[1.5, np.nan], [2.5, 3.5]])
    assert b"".join(numbers(values)) == b"[1.5,null],[2.5,3.5]"
    # A column of a larger array is not contiguous in memory.
    assert b"".join(numbers(values[:, 0])) == b"1.5,2.5"


def test_chunks_hold_the_same_text_and_few_are_small() -> None:
    pieces = [b"x" * size for size in (1, 70_000, 300_000, 5, 200_000, 100_000, 3)]
    found = list(chunks(pieces))
    assert b"".join(found) == b"".join(pieces)
    assert all(len(chunk) >= 256 << 10 for chunk in found[:-1])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"date": "20260101", "time": "0600", "step": "12"}, "2026-01-01T18:00:00Z"),
        ({"date": "20260101", "time": "0000", "step": "30m"}, "2026-01-01T00:30:00Z"),
        ({"date": "20260101", "time": "1200", "step": "0-24"}, "2026-01-02T12:00:00Z"),
        ({"date": "20251231", "step": "48"}, "2026-01-02T00:00:00Z"),
        ({"date": "20260101", "hdate": "19990101", "time": "0000", "step": "6"}, "1999-01-01T06:00:00Z"),
        ({"year": "2020", "month": "3"}, "2020-03-01T00:00:00Z"),
    ],
)
def test_the_time_of_a_value_is_the_end_of_its_step(keys: dict[str, str], expected: str) -> None:
    assert labels.valid_time(keys) == expected


@pytest.mark.parametrize(("text", "expected"), [("500", 500), ("0.5", 0.5), ("0-24", "0-24"), ("30m", "30m")])
def test_labels_are_numbers_where_they_are_some(text: str, expected: Any) -> None:
    assert labels.number(text) == expected


def test_metadata_are_the_keys_that_all_fields_of_a_coverage_have() -> None:
    keys = {"class": "od", "date": "20260101", "time": "0000", "param": "167", "levelist": "500", "step": "6"}
    assert labels.metadata(keys) == {
        "class": "od", "levelist": 500, "step": 6, "number": 0, "Forecast date": "2026-01-01T00:00:00Z",
    }  # fmt: skip


def test_earthkit_data_knows_a_result_by_its_first_bytes() -> None:
    """It looks for these where a file has no extension, and a stream no media type."""
    assert b"".join(collection({"domainType": "Grid"}, [])).startswith(b'{"type": "CoverageCollection"')
