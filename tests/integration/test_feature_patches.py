"""What is extracted is what was judged: a patch, and the day that relative dates count from, hold."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from feature_fields import DATES, STEPS, fill, make, nearest, request

from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.language import Judgement, SourceRules, coerce
from polytope_server.testing.datasource import job

GRID, PLACE = "regular", [48.8, 2.3]
SERIES = {"type": "timeseries", "points": [PLACE], "time_axis": "step"}
TOMORROW = datetime.date(2026, 1, 2)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return fill(tmp_path_factory.mktemp("features"), [GRID])


def extract(config: dict[str, Any], keys: dict[str, Any], **rules: Any) -> list[float]:
    """The values of the first coverage that a user gets, who submits on the day after the first date."""
    kind = PolytopeDataSource
    source = kind("features", PolytopeSettings.model_validate({"gribjump_config": {}, "fdb_config": config}))
    source.judged = frozenset(rules.get("match", ()))
    source.prepare()
    judgement = Judgement(coerce(keys, today=TOMORROW), realm="", user_roles=(), today=TOMORROW)
    found = judgement.match(
        SourceRules(accepts_feature=True, implied=kind.implied_keys, aliases=kind.aliases, **rules)
    )
    assert found.request is not None, found.reason
    kind.request_check(source.settings)(found.request, "retrieve")
    result = json.loads(b"".join(source.retrieve(job(found.request)).chunks))
    values: list[float] = result["coverages"][0]["ranges"]["2t"]["values"]
    return values


def expected(date: str, *steps: str) -> list[float]:
    index = nearest(GRID, *PLACE)
    return [float(make(GRID, "167", date=date, step=step).values[index]) for step in steps]


@pytest.mark.parametrize("where", ["in the request", "in the feature"])
def test_a_patch_counts_more_than_what_was_asked_for(config: dict[str, Any], where: str) -> None:
    steps = "0/to/24/by/6"
    keys = request(GRID, param="2t", feature=SERIES, step=steps)
    if where == "in the feature":
        keys = request(GRID, param="2t", feature={**SERIES, "range": steps})
    assert extract(config, keys, patch={"step": [6, 12]}) == expected(DATES[0], "6", "12")
    assert extract(config, keys) == expected(DATES[0], *STEPS)


def test_relative_dates_of_a_feature_count_from_the_day_of_the_submission(config: dict[str, Any]) -> None:
    keys = request(GRID, param="2t", step="6", feature={**SERIES, "time_axis": "date", "range": [-1]})
    del keys["date"]
    assert extract(config, keys, match={"date": "-5/to/-1"}) == expected(DATES[0], "6")


def test_a_range_without_an_interval_is_what_the_archive_has_of_what_is_judged(
    config: dict[str, Any],
) -> None:
    keys = request(GRID, param="2t", feature={**SERIES, "range": {"start": 0, "end": 13}})
    assert extract(config, keys, match={"step": "0/to/24"}) == expected(DATES[0], "0", "6", "12")
    # Counted from 3, every hour: all of those that the archive has
    keys["feature"] = {**SERIES, "range": {"start": 3, "end": 18}}
    assert extract(config, keys, match={"step": "0/to/24"}) == expected(DATES[0], "6", "12", "18")
