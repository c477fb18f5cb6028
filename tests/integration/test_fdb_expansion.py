"""Requests that a worker expands with metkit, before it asks a real FDB."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import SURFACE, make, message, read, stored

from polytope_server.datasource import DataSourceError, Question
from polytope_server.datasource.fdb import FDBDataSource, expansion
from polytope_server.testing.datasource import job

WANTED = {**SURFACE, "param": "2t", "step": "0"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FDBDataSource:
    made: FDBDataSource = make(tmp_path_factory.mktemp("expanded"), expand=True)
    made.archive(job({}, verb="archive"), stored())
    return made


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"param": "2t/167/167.128"}, message()),
        ({"step": "0/to/6/by/6"}, message() + message(step=6)),
        ({"class": "OD", "type": "forecast", "levtype": "surface"}, message()),
        ({"date": "2026-01-01", "time": "00:00:00", "expver": "1"}, message()),
        ({"levelist": "off"}, message()),
        ({"model": ["off"]}, message()),
        ({"target": "x", "format": "grib"}, message()),
    ],
)
def test_requests_are_served_as_without(
    source: FDBDataSource, request_: dict[str, Any], expected: bytes
) -> None:
    assert read(source, **{**WANTED, **request_}) == expected


def test_values_that_mean_the_same_count_once(source: FDBDataSource) -> None:
    answer = source.answer(Question("estimate", {**WANTED, "param": "2t/167/msl", "step": "0/99"}))
    assert answer.value["fields"] == 4
    assert answer.value["missing"]["fields"] == 2


def test_no_key_is_added(source: FDBDataSource) -> None:
    """By default metkit would ask for today's analysis where a request is silent."""
    wanted = {key: value for key, value in WANTED.items() if key != "type"}
    with pytest.raises(DataSourceError, match=r"The request must also name: type$"):
        read(source, **wanted)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"param": "nosuch"}, "Cannot match parameter nosuch"),
        ({"param": "é"}, "Cannot match parameter é"),
        ({"class": "zz"}, "key 'class': 'zz' is not one of its values"),
        ({"number": "1"}, "key 'number' does not go with the other keys"),
        ({"class": "od/rd"}, "key 'class' takes one value only"),
        ({"step": "\udcff"}, "a value of the request cannot be read"),
        ({"date": "20261399"}, "Invalid date 20261399"),
    ],
)
def test_what_metkit_does_not_take_is_the_users_fault(
    source: FDBDataSource, request_: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataSourceError) as raised:
        read(source, **{**WANTED, **request_})
    assert sentence in str(raised.value)
    assert len(str(raised.value)) <= 300


def test_ranges_are_bounded_before_they_are_expanded(source: FDBDataSource) -> None:
    began = time.monotonic()
    with pytest.raises(DataSourceError, match="at most 100000 can be asked for at once"):
        read(source, **{**WANTED, "step": "0/to/10000000/by/1"})
    assert time.monotonic() - began < 1


def test_without_the_package_it_is_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = make(tmp_path, expand=True).settings
    assert list(settings.warnings()) == []
    monkeypatch.setattr(expansion, "_PACKAGE", "absent_metkit")
    assert list(settings.warnings()) == [
        "expand needs the package pymetkit, of the extra metkit, where a worker runs"
    ]
