"""Retry-After: whole seconds, one place that writes it, and one that reads it of other services."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import polytope_server
from polytope_server.datasource.upstream import read_retry_after
from polytope_server.http.retry_after import retry_after

PACKAGE = Path(polytope_server.__file__).parent
#: The name of the header as a literal, or as a keyword for one.
WRITTEN = re.compile(r"""["']retry-after["']|\bretry_after=["']""", re.IGNORECASE)


@pytest.mark.parametrize(("seconds", "value"), [(0, "1"), (0.2, "1"), (1, "1"), (1.2, "2"), (90, "90")])
def test_a_wait_is_not_too_short(seconds: float, value: str) -> None:
    assert retry_after(seconds) == {"Retry-After": value}


def test_a_wait_that_is_not_known_is_the_usual_one() -> None:
    assert retry_after() == retry_after(None) == {"Retry-After": "5"}


def test_it_is_written_in_one_place() -> None:
    found = {path for path in PACKAGE.rglob("*.py") if WRITTEN.search(path.read_text())}
    assert found == {PACKAGE / "http" / "retry_after.py", PACKAGE / "datasource" / "upstream.py"}


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("900", 60.0), ("-7", 0.0), ("1.5", 0.0), ("²", 0.0)]
)
def test_of_another_service_only_whole_seconds_are_heeded(value: str, seconds: float) -> None:
    assert read_retry_after({"Retry-After": value}, longest=60.0) == seconds
    assert read_retry_after({}, longest=60.0) == 0.0
