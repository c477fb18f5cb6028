"""What a real FDB has, as the description of a collection shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fdb_fields import LABEL, make, stored

from polytope_server.datasource import CONTENTS, Question
from polytope_server.testing.datasource import job


@pytest.fixture
def source(tmp_path: Path) -> Any:
    made = make(tmp_path)
    made.archive(job(LABEL, verb="archive"), list(stored()))
    return made


def test_the_values_of_each_key_are_those_that_are_there(source: Any) -> None:
    found = source.answer(Question(CONTENTS, {"class": "od"})).value
    assert {key: found[key]["values"] for key in ("date", "step", "levtype", "levelist")} == {
        "date": ["20260101"],
        "step": ["0", "6", "12"],
        "levtype": ["pl", "sfc"],
        "levelist": ["500", "1000"],
    }
    assert found["param"]["count"] == 3


@pytest.mark.parametrize("param", ["2t", "167", ["2t"]])
def test_only_what_the_rules_admit_is_shown(source: Any, param: Any) -> None:
    found = source.answer(Question(CONTENTS, {"class": ["od"], "levtype": ["sfc"], "param": param})).value
    assert found["levtype"]["values"] == ["sfc"]
    assert "levelist" not in found


def test_an_empty_archive_has_nothing(tmp_path: Path) -> None:
    assert make(tmp_path).answer(Question(CONTENTS, {"class": ["od"]})).value == {}
