"""Which fields of a request a real FDB has, as the data source answers it to frontends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fdb_fields import LABEL, SURFACE, make, message, stored

from polytope_server.datasource import Answer, DataSourceError, Question
from polytope_server.datasource.fdb import FDBDataSource
from polytope_server.testing.datasource import job


@pytest.fixture
def source(tmp_path: Path) -> FDBDataSource:
    made: FDBDataSource = make(tmp_path)
    made.archive(job({}, verb="archive"), stored())
    return made


def ask(source: FDBDataSource, kind: str, **request: Any) -> Answer:
    return source.answer(Question(kind, {**SURFACE, **request}))


def test_what_is_there_is_counted_and_may_be_said_again(source: FDBDataSource) -> None:
    answer = ask(source, "estimate", param="2t/msl", step="0/to/12/by/6")
    size = sum(len(message(param, step)) for param in ("2t", "msl") for step in (0, 6, 12))
    missing = {"fields": 0, "examples": []}
    assert answer.value == {"fields": 6, "bytes": size, "missing": missing}
    assert answer.seconds > 0


def test_what_is_missing_is_named_and_looked_for_each_time(source: FDBDataSource) -> None:
    request = {"param": "2t", "step": "6/12/18/24"}
    answer = ask(source, "estimate", **request)
    assert answer.value["missing"] == {"fields": 2, "examples": [{"step": "18"}, {"step": "24"}]}
    size = len(message("2t", 6)) + len(message("2t", 12))
    assert (answer.value["fields"], answer.value["bytes"], answer.seconds) == (4, size, 0)
    source.archive(job(dict(LABEL), verb="archive"), [message("2t", 18), message("2t", 24)])
    assert ask(source, "estimate", **request).value["missing"]["fields"] == 0


def test_the_check_says_what_a_retrieval_would(source: FDBDataSource) -> None:
    request = {"param": "2t", "step": "6/99"}
    with pytest.raises(DataSourceError) as raised:
        source.retrieve(job({**SURFACE, **request}))
    assert ask(source, "check", **request).value == [str(raised.value)]
    assert ask(source, "check", param="2t", step="6").value == []


@pytest.mark.parametrize("param", ["2t/167", "2t/167/msl"])
def test_two_spellings_of_one_field_are_one(source: FDBDataSource, param: str) -> None:
    fields = 2 if "msl" in param else 1
    answer = ask(source, "estimate", param=param, step="6").value
    assert (answer["fields"], answer["missing"]["fields"]) == (fields, 0)


def test_a_request_that_could_only_fail_is_the_fault_of_its_user(source: FDBDataSource) -> None:
    with pytest.raises(DataSourceError, match="no fields"):
        source.answer(Question("estimate", {}))


def test_it_is_asked_at_the_door_only_where_the_configuration_says_so(tmp_path: Path) -> None:
    assert FDBDataSource.door_question(make(tmp_path).settings) is None
    assert FDBDataSource.door_question(make(tmp_path, check_available=True).settings) == "check"
