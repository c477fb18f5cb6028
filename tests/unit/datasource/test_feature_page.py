"""The examples of the page on features are taken at the door."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope.check import FeatureCheck, implied_keys
from polytope_server.features import DEFAULT_LIMITS
from polytope_server.features.reading import _NOT_SERVED, _READERS
from polytope_server.language import Judgement, SourceRules, coerce, parse

PAGE = (Path(__file__).parents[3] / "docs" / "features.md").read_text()
EXAMPLES = re.findall("```json\n(.*?)```", PAGE, re.DOTALL)


def whole(example: dict[str, Any]) -> dict[str, Any]:
    """The request of an example, which may be the feature alone."""
    if "feature" in example:
        return example
    missing = {"timeseries": {}, "trajectory": {}}.get(example["type"], {"step": 0})
    return {"class": "od", "levtype": "pl", "param": "t", **missing, "feature": example}


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_taken(text: str) -> None:
    request = coerce(parse(json.dumps(whole(json.loads(text)))))
    rules = SourceRules(accepts_feature=True, implied=implied_keys)
    found = Judgement(request, realm="", user_roles=()).match(rules)
    assert found.request is not None, found.reason
    FeatureCheck(None, tables(), DEFAULT_LIMITS)(found.request, "retrieve")


def test_every_feature_has_a_section_and_an_example() -> None:
    shown = {whole(json.loads(text))["feature"]["type"] for text in EXAMPLES}
    assert shown == set(_READERS)
    assert set(_READERS) <= set(re.findall("^## (.*)$", PAGE, re.MULTILINE))
    assert all(f"| `{name}` |" in PAGE for name in _NOT_SERVED)


def test_limits_are_those_of_the_code() -> None:
    defaults = DEFAULT_LIMITS
    assert f"points ({defaults.max_points:,} by default" in PAGE
    assert f"fields ({defaults.max_fields:,}) and values ({defaults.max_values // 10**6} million)" in PAGE
    assert defaults.max_area is None
