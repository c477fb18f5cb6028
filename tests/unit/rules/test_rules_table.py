"""Every rule for requests, by the way that a request takes: from a configuration's text to a data source."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rules_coercion import COERCION
from rules_dates import DATES
from rules_elsewhere import ELSEWHERE
from rules_field import NAMES, RANGES, TEXTS
from rules_generic import GENERIC
from rules_matching import MATCHING
from rules_rows import Invalid, Json, Refused, Row, Taken, taken
from rules_schedule import RELEASES, XML

from polytope_server.config import Configuration, coercion_rules, load
from polytope_server.frontend.composition import make_sources
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.frontend.source_selection import SourceSelection
from polytope_server.frontend.v1.requests import draft_of
from polytope_server.frontend.validation import Validation
from polytope_server.request import Request
from polytope_server.settings import create_backend
from polytope_server.settings.problems import ConfigurationError
from polytope_server.user import User

ROWS = (*GENERIC, *MATCHING, *DATES, *COERCION, *RELEASES, *RANGES, *NAMES, *TEXTS)
#: The sections of the rules, and the rows of the faults found in the field.
SECTIONS = {"13", "13.1", "13.2", "13.3", "13.4"}
FAULTS = {"G1", "G2", "G3", "H3", "H5", "L1", "L3", "L4", "L7", "L8", "L9", "L10", "L19", "L20", "L23"}
FAULTS |= {f"P{number}" for number in range(1, 13)}
SCHEMA = "[ class, expver, stream, date, time, domain [ type, levtype [ step, number?, levelist?, param ]]]"
TOP = Path(__file__).parents[3]

Load = Callable[[Row], Configuration]


@pytest.fixture(scope="module")
def load_row(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Reads the configuration of a row; rows with the same text share it."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "schema").write_text(SCHEMA)
    (folder / "schedule.xml").write_text(XML)
    environ = {"SCHEMA": str(folder / "schema"), "SCHEDULE": str(folder / "schedule.xml")}
    found: dict[str, Configuration] = {}

    def load_once(row: Row) -> Configuration:
        text = row.configuration
        if text not in found:
            file = folder / "config.yaml"
            file.write_text(text)
            found[text] = load([file], environ=environ, system_file=folder / "none")
        return found[text]

    return load_once


def judge(
    configuration: Configuration, row: Row, data: Path, clock: Callable[[], datetime] | None = None
) -> Request:
    """The request that a user's submission becomes. Raises RefusedError."""
    settings = configuration.settings
    rules = make_sources(configuration), coercion_rules(settings)
    store = create_backend("request_store", settings.request_store, data)
    validation = Validation(SourceSelection(*rules, clock or (lambda: row.now)), frozenset(), None, store)
    asked = row.request if isinstance(row.request, Json) else json.dumps(row.request)
    draft = draft_of(f'{{"verb": "{row.verb}", "request": {asked}}}'.encode())
    return validation.request_of(User("alice", row.realm, row.roles), configuration.collections["c"], draft)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_rule_holds(load_row: Load, row: Row, tmp_path: Path) -> None:
    if isinstance(row.outcome, Invalid):
        with pytest.raises(ConfigurationError) as invalid:
            load_row(row)
        found = str(invalid.value)
    elif isinstance(row.outcome, Refused):
        with pytest.raises(RefusedError) as refused:
            judge(load_row(row), row, tmp_path)
        assert refused.value.kind is Kind.INVALID
        found = refused.value.reason
    else:
        request = judge(load_row(row), row, tmp_path)
        assert Taken(request.datasource, request.coerced_request) == row.outcome
        return
    assert row.outcome.words
    assert [words for words in row.outcome.words if words not in found] == [], found


def test_a_request_that_is_judged_at_midnight_is_judged_at_one_moment(load_row: Load, tmp_path: Path) -> None:
    # Given a clock that passes midnight whenever it is looked at
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    moments = (midnight + timedelta(days=day, seconds=-1) for day in range(9))
    # Then "today" is the same day for the request and for the rule
    row = taken("", "match: {date: 0}", {"date": 0}, {"date": "20260228"})
    request = judge(load_row(row), row, tmp_path, lambda: next(moments))
    assert Taken(request.datasource, request.coerced_request) == row.outcome


def test_each_row_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []


def test_the_table_is_complete() -> None:
    named = {re.match(r"[^-]+", name)[0] for name in (*(row.name for row in ROWS), *ELSEWHERE)}  # type: ignore[index]
    assert (SECTIONS | FAULTS) - named == set()


@pytest.mark.parametrize("test", sorted({test for tests in ELSEWHERE.values() for test in tests}))
def test_what_is_tested_elsewhere_is_there(test: str) -> None:
    file, *classes, function = test.split("::")
    body = ast.parse((TOP / file).read_text()).body
    for name in classes:
        (found,) = [node for node in body if isinstance(node, ast.ClassDef) and node.name == name]
        body = found.body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert function in functions
