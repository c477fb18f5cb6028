"""`collections.<name>.about`: what users read of a collection."""

from __future__ import annotations

from typing import Any

import pytest

SOURCES = "datasources: {e: {type: echo}}\n"


def test_it_is_kept_as_it_is_written(config: Any) -> None:
    about = "{title: T, licence: CC-BY-4.0, examples: [{class: od, date: -1, expver: 0010, time: [12:00]}]}"
    found = config(f"{SOURCES}collections: {{c: {{roles: {{r: [x]}}, datasources: [e], about: {about}}}}}")
    made = found.collections["c"].about
    assert (made.title, made.licence, made.contact) == ("T", "CC-BY-4.0", "")
    assert made.examples == ({"class": "od", "date": -1, "expver": "0010", "time": ["12:00"]},)


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ("{titel: T}", "about.titel: value 'T': unknown key; did you mean 'title'?"),
        ("{examples: [retrieve]}", "about.examples[0]: value 'retrieve': expected a mapping"),
        ("{title: 7}", "about.title: value 7: expected a text"),
    ],
)
def test_mistakes_are_named(problems: Any, about: str, problem: str) -> None:
    found = problems(f"{SOURCES}collections: {{c: {{roles: {{r: [x]}}, datasources: [e], about: {about}}}}}")
    assert problem in "\n".join(found)
