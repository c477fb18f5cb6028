"""What a feature asks for is judged as if it stood in the request: every rule answers the same both ways."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytope_server.datasource import DataSource
from polytope_server.datasource.fdb import FDBDataSource
from polytope_server.datasource.fdb.keys import ALIASES
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope import PolytopeDataSource
from polytope_server.datasource.polytope.check import implied_keys
from polytope_server.language import (
    CoercionRules,
    Judgement,
    SourceRules,
    TooManyValuesError,
    coerce,
    validate_source,
)
from polytope_server.language.matching import MatchResult

TODAY = datetime.date(2024, 3, 1)
POINTS = [[38.9, -9.1]]
PROFILE = {"type": "verticalprofile", "points": POINTS}


def series(axis: str) -> dict[str, Any]:
    return {"type": "timeseries", "points": POINTS, "time_axis": axis}


def judge(request: Any, coercion: CoercionRules | None = None, **rules: Any) -> MatchResult:
    coercion = coercion or CoercionRules()
    judgement = Judgement(
        coerce(request, coercion, today=TODAY), realm="here", user_roles=["staff"], today=TODAY
    )
    source = SourceRules(accepts_feature=True, implied=implied_keys, aliases=ALIASES, **rules)
    found = judgement.match(source)
    # Judged again, what is remembered of the request leads to the same.
    assert judgement.match(source) == found
    return found


def both_ways(axis: str, value: Any, request: Any = None, **rules: Any) -> tuple[MatchResult, MatchResult]:
    """What comes of a value as a key of the request, and as the range of the feature."""
    feature = PROFILE if axis == "levelist" else series(axis)
    request = request or {"class": "od"}
    in_request = judge({**request, axis: value, "feature": feature}, **rules)
    in_feature = judge({**request, "feature": {**feature, "range": value}}, **rules)
    return in_request, in_feature


@pytest.mark.parametrize(
    ("axis", "value", "rules", "admitted"),
    [
        # Values of the rule, as lists and ranges.
        ("step", "0/to/24/by/6", {"step": [0, 6, 12, 18, 24]}, True),
        ("step", "0/to/24/by/6", {"step": ["0/to/24/by/3"]}, True),
        ("step", "0/to/24/by/6", {"step": [0, 6, 12, 18]}, False),
        ("step", "0/to/24", {"step": "0/to/48"}, True),
        ("step", "0/to/24", {"step": [0, 6, 12, 18, 24]}, False),
        ("step", [0, 6], {"step": "0/6/12"}, True),
        ("step", ["0", "1d"], {"step": [0, 24]}, True),
        ("step", [0, 7], {"step": [0, 6]}, False),
        ("step", 30, {"step": 30}, True),
        ("step", "0-24/24-48", {"step": ["0-24", "24-48"]}, True),
        ("levelist", [1000, 500], {"levelist": [1000, 850, 500]}, True),
        ("levelist", [1000, 300], {"levelist": [1000, 850, 500]}, False),
        ("levelist", "1/to/100", {"levelist": "1/to/1000"}, True),
        ("levelist", "1/to/2000", {"levelist": "1/to/1000"}, False),
        ("levelist", [500], {"level": 500}, True),
        ("month", "1/to/12", {"month": "1/to/12"}, True),
        ("month", [1, 13], {"month": "1/to/12"}, False),
        ("year", [2020], {"year": "2000/to/2020"}, True),
        ("hdate", ["2023-01-01"], {"hdate": ["20230101"]}, False),
        ("hdate", ["20230101"], {"hdate": ["20230101"]}, True),
        # A key that must be absent.
        ("step", 0, {"step": []}, False),
        ("levelist", 500, {"levelist": []}, False),
        ("levelist", 500, {"level": []}, False),
        ("date", "20240101", {"date": []}, False),
        # A key that must be there.
        ("step", 0, {"step": [0], "class": "od"}, True),
        ("step", 0, {"number": [1]}, False),
        # Dates: comparisons, of which all must hold, and MARS's, of which one must cover each date.
        ("date", "20240101", {"date": ">30d"}, True),
        ("date", "2024-02-20", {"date": ">30d"}, False),
        ("date", "20240101/to/20240220", {"date": ">30d"}, False),
        ("date", "20240101/to/20240120/by/5", {"date": [">30d", "<90d"]}, True),
        ("date", [20231001, 20240101], {"date": [">30d", "<90d"]}, False),
        ("date", [20240101, 20240103], {"date": ["20240101", "20240103"]}, True),
        ("date", [20240101, 20240102], {"date": ["20240101", "20240103"]}, False),
        ("date", "20240101/to/20240103", {"date": "20240101/to/20240131"}, True),
        ("date", "20240101/to/20240203", {"date": "20240101/to/20240131"}, False),
        ("date", "20240101/to/20240203", {"date": ["20240101/to/20240131", "20240201/to/20240229"]}, True),
        ("date", -1, {"date": "-5/to/-1"}, True),
        ("date", 0, {"date": "-5/to/-1"}, False),
        ("date", "20240101", {"date": [">30d", "20240101"]}, False),
    ],
)
def test_every_rule_answers_the_same_for_a_key_and_for_the_feature(
    axis: str, value: Any, rules: Any, admitted: bool
) -> None:
    in_request, in_feature = both_ways(axis, value, match=rules)
    assert bool(in_request) is bool(in_feature) is admitted
    assert in_request.reason == in_feature.reason


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        ("step", ["6h", "0"]),
        ("step", "0/to/24/by/6"),
        ("step", "0/to/240"),
        ("date", "2024-01-01/to/2024-01-05"),
        ("date", ["2024-01-01", -1, 20240105]),
        ("levelist", [500, "850"]),
        ("levelist", "1000/to/500"),
    ],
)
def test_the_data_source_gets_the_key_in_the_same_spelling(axis: str, value: Any) -> None:
    in_request, in_feature = both_ways(axis, value)
    assert in_request.request is not None
    assert in_feature.request is not None
    assert in_feature.request[axis] == in_request.request[axis]


def test_defaults_and_patches_treat_both_alike() -> None:
    # A default is for a key that is absent, and a patch counts whatever was asked for
    for sections in ({"defaults": {"step": 0}}, {"patch": {"step": 0}}, {"patch": {"step": [0, 6]}}):
        in_request, in_feature = both_ways("step", "0/to/24/by/6", **sections)
        assert in_request.request is not None
        assert in_feature.request is not None
        assert in_request.request["step"] == in_feature.request["step"]
    assert judge({"feature": series("step")}, defaults={"step": 5}).request == {
        "step": "5",
        "feature": series("step"),
    }


@pytest.mark.parametrize("roles", [{"here": ["staff"]}, {"here": ["others"]}, ["others"], {}])
def test_roles_come_first_both_ways(roles: Any) -> None:
    in_request, in_feature = both_ways("step", 0, match={"step": 1}, roles=roles)
    assert (in_request.reason, in_request.request) == (in_feature.reason, in_feature.request)


def test_coercion_rules_hold_both_ways() -> None:
    for value, wrong in (("0/to/24/by/0", "by"), ("24/to/0x", "range"), ([0, 0], "twice"), ("x", "'x'")):
        request = {"feature": {**series("step"), "range": value}}
        assert wrong in judge(request).reason


@pytest.mark.parametrize(
    ("feature", "rules", "admitted"),
    [
        ({"type": "boundingbox", "points": [[0, 0, 500], [1, 1, 850]]}, "1/to/1000", True),
        ({"type": "boundingbox", "points": [[0, 0, 850], [1, 1, 500]]}, "1/to/700", False),
        ({"type": "boundingbox", "points": [[0, 0, 500], [1, 1, 500]]}, [500], True),
        ({"type": "circle", "center": [[0, 0, 500]], "radius": 1}, [850], False),
        ({"type": "circle", "center": [[0, 0, 500]], "radius": 1}, [500], True),
        ({"type": "trajectory", "points": [[0, 0, 500], [1, 1, 850]], "inflation": 0}, "500/to/850", True),
        ({"type": "trajectory", "points": [[0, 0, 500], [1, 1, 850]], "inflation": 9}, "500/to/850", False),
        ({"type": "trajectory", "points": [[0, 0, 500], [1, 1, 850]]}, [], False),
    ],
)
def test_levels_of_boxes_circles_and_trajectories_are_judged(
    feature: Any, rules: Any, admitted: bool
) -> None:
    request = {"feature": {**feature, "axes": ["latitude", "longitude", "levelist"]}}
    assert bool(judge(request, match={"levelist": rules})) is admitted


@pytest.mark.parametrize(("last", "admitted"), [(23, True), (24, True), (25, False)])
def test_the_greatest_step_of_a_trajectory_is_judged(last: int, admitted: bool) -> None:
    points = [[0, 0, last], [1, 1, 0], [2, 2, 12]]
    feature = {"type": "trajectory", "points": points, "axes": ["lat", "long", "step"], "inflation": 0}
    assert bool(judge({"feature": feature}, match={"step": "0/to/24"})) is admitted


def test_a_key_that_is_there_twice_must_be_the_same() -> None:
    feature = {**series("step"), "range": {"start": 0, "end": 24, "interval": 6}}
    assert judge({"step": "0/to/24/by/6", "feature": feature})
    assert judge({"step": "0/to/1d/by/6h", "feature": feature})
    reason = judge({"step": "0/to/48/by/6", "feature": feature}).reason
    assert reason == (
        "key 'step' is given twice, as '0/to/48/by/6' and in the feature as '0/to/24/by/6'; give it once"
    )
    # By another name, too
    levels = {"level": 850, "feature": {**PROFILE, "range": 500}}
    assert "key 'levelist' is given twice, as 850 and in the feature as '500'" in judge(levels).reason


def test_a_feature_that_cannot_be_read_is_the_reason_and_is_needed() -> None:
    assert "latitude 91 is not accepted" in judge({"feature": {**PROFILE, "points": [[91, 0]]}}).reason
    assert judge({"class": "od"}).reason == "the data source needs the key 'feature'"


def test_a_feature_is_read_once_for_all_data_sources_and_not_for_those_of_other_users() -> None:
    seen: list[object] = []

    def implied(request: Any) -> Any:
        seen.append(request)
        return implied_keys(request)

    request = coerce({"feature": {**series("step"), "range": 0}})
    judgement = Judgement(request, realm="here", user_roles=[])
    judgement.match(SourceRules(accepts_feature=True, implied=implied, roles=["staff"]))
    assert not seen
    for step in range(5):
        judgement.match(SourceRules(accepts_feature=True, implied=implied, match={"step": step}))
    assert len(seen) == 1


def test_comparisons_of_a_feature_count_for_the_same_budget() -> None:
    values = list(range(3000))
    request = coerce({"feature": {**series("step"), "range": values}})
    judgement = Judgement(request, realm="", user_roles=[], comparisons=10_000)
    sources = [
        SourceRules(
            accepts_feature=True,
            implied=implied_keys,
            match={"step": [*values, 9000 + number], "class": "od"},
        )
        for number in range(9)
    ]
    with pytest.raises(TooManyValuesError, match="take more than 10000 comparisons"):
        [judgement.match(source) for source in sources]


def test_an_operator_does_not_set_the_feature() -> None:
    for section in ("defaults", "patch"):
        source = SourceRules(accepts_feature=True, **{section: {"Feature": PROFILE}})
        assert validate_source(source) == [
            f"{section}: key 'feature' is not accepted; requests have their own"
        ]


STEPS = st.integers(0, 60)
RULES = st.one_of(
    st.lists(STEPS, max_size=20, unique=True), st.tuples(STEPS, STEPS).map(lambda e: f"{min(e)}/to/{max(e)}")
)
VALUES = st.one_of(
    st.lists(STEPS, min_size=1, max_size=8, unique=True),
    st.tuples(STEPS, STEPS, st.integers(1, 9)).map(lambda e: f"{min(e[:2])}/to/{max(e[:2])}/by/{e[2]}"),
    st.tuples(STEPS, STEPS).map(lambda e: f"{min(e)}/to/{max(e)}"),
)


@settings(deadline=None, database=None, max_examples=300)
@given(VALUES, RULES)
def test_any_steps_are_judged_the_same_both_ways(value: Any, rule: Any) -> None:
    in_request, in_feature = both_ways("step", value, match={"step": rule})
    assert bool(in_request) is bool(in_feature)
    assert in_request.reason == in_feature.reason


@pytest.mark.parametrize("kind", [PolytopeDataSource, FDBDataSource])
@pytest.mark.parametrize(
    ("key", "asked", "rule", "admitted"),
    [
        ("param", "2t", [167], True),
        ("param", "167.128", ["2T"], True),
        ("param", "131.151", [151131], True),
        ("param", ["2t", 151], ["167", "msl", "10u"], True),
        ("param", "2t/10u", [167], False),
        ("param", 168, ["2t"], False),
        ("param", "no such parameter", ["2t"], False),
        ("levtype", "surface", ["sfc"], True),
        ("levtype", "pl", ["pressure levels"], True),
        ("levtype", "ml", ["pressure levels"], False),
        ("expver", "0001", ["0001"], True),
        ("model", "IFS-Nemo", ["ifs-nemo"], True),
    ],
)
def test_a_rule_holds_for_every_spelling_of_a_value(
    kind: type[DataSource], key: str, asked: Any, rule: Any, admitted: bool
) -> None:
    settings = kind.Settings.model_validate(
        {"fdb_config": {}, **({"gribjump_config": {}} if kind.accepts_feature else {})}
    )
    rules = SourceRules(match={key: rule}, spelling=kind.spelling(settings))
    judgement = Judgement(coerce({key: asked}), realm="", user_roles=())
    for _ in range(2):
        assert bool(judgement.match(rules)) is admitted
    # A data source that does not know what they mean compares texts.
    assert bool(judgement.match(SourceRules(match={key: rule}))) is (key in ("expver", "model"))


def test_a_reason_shows_values_as_they_were_given() -> None:
    rules = SourceRules(match={"param": ["2t", 151]}, spelling=tables().spelling)
    found = Judgement(coerce({"param": "10u/167"}), realm="", user_roles=()).match(rules)
    assert found.reason == "key 'param' : '10u' not in ['2t', '151']"
