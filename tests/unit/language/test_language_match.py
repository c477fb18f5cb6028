"""Whether a data source serves a request, and that nothing gets around an embargo."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import as_values, match

from polytope_server.language import (
    CoercionRules,
    SourceRules,
    coerce,
    validate_source,
)
from polytope_server.language.matching import MatchResult
from polytope_server.language.validation import validate_rules

TODAY = datetime.date(2024, 3, 1)
quick = settings(deadline=None, database=None, max_examples=200)


def judge(request: Any, **source: Any) -> MatchResult:
    return match(coerce(request, today=TODAY), SourceRules(**source), realm="", user_roles=(), today=TODAY)


@pytest.mark.parametrize(
    ("roles", "admitted"),
    [
        ({}, True),
        ([], True),
        ({"here": ["staff", "x"]}, True),
        ({"here": "staff"}, True),
        (["staff"], True),
        ({"here": ["x"]}, False),
        ({"here": []}, False),
        ({"there": ["staff"]}, False),
        (["x"], False),
        ({"here": "staffer"}, False),
        ("any", True),
        ({"here": "any"}, True),
        ({"here": ["x", "any"]}, True),
        ({"there": "any"}, False),
    ],
)
def test_a_source_is_for_its_roles(roles: Any, admitted: bool) -> None:
    result = match({}, SourceRules(roles=roles), realm="here", user_roles=["staff", "s"])
    assert bool(result) is admitted
    assert result.reason == ("" if admitted else "user not authorized.")


@pytest.mark.parametrize(
    ("rules", "request_", "admitted"),
    [
        ({"class": ["ai", "ea"]}, {"class": "ai"}, True),
        ({"class": ["ai", "ea"]}, {"class": ["ea", "ai"]}, True),
        ({"class": "ai"}, {"CLASS": "AI"}, True),
        ({"Class": "AI"}, {"class": "ai"}, True),
        ({"class": ["ai", "ea"]}, {"class": "od"}, False),
        ({"class": ["ai", "ea"]}, {"class": "ai/od"}, False),
        ({"class": ["ai", "ea"]}, {}, False),
        ({"class": []}, {}, True),
        ({"class": []}, {"class": "od"}, False),
        ({"nothing": []}, {"nothing": None}, False),
        ({"nothing": ["x"]}, {"nothing": None}, False),
        ({"expver": 1}, {"expver": "0001"}, True),
        ({"expver": ["abcd"]}, {"expver": "ABCD"}, False),
        ({"number": "0/to/5"}, {"number": "1/to/5"}, True),
        ({"step": [0, 6, 12, 18, 24]}, {"step": "0/to/24/by/6"}, True),
        ({"step": [0, 6, 12, 18, 24]}, {"step": "0/to/24/by/12"}, True),
        ({"step": [0, 6, 12, 18, 24]}, {"step": "0/to/24"}, False),
        ({"step": [0, 6, 12, 18, 24]}, {"step": "0/to/24/by/3"}, False),
        ({"step": ["0/to/24/by/6"]}, {"step": ["6", "24"]}, True),
        ({"step": "0/6/12"}, {"step": "0/12"}, True),
        ({"step": ["0/to/6", "12/to/24/by/6"]}, {"step": "3/to/6"}, True),
        ({"step": "0/to/6"}, {"step": "120m"}, True),
        ({"step": "0/to/6"}, {"step": "0-6"}, False),
        ({"step": ["0-6"]}, {"step": "0-6"}, True),
        ({"time": ["00:00", 1200]}, {"time": "0/to/12/by/12"}, True),
        ({"levelist": [500, 1000]}, {"levelist": [500]}, True),
        ({"levelist": [500, 1000]}, {"levelist": "500/1000"}, True),
        ({"levelist": [500, 1000]}, {"levelist": "500/to/1000"}, False),
        ({"levelist": ["1/to/137"]}, {"levelist": "10/to/20"}, True),
        ({"levelist": ["1/to/137"]}, {"levelist": "20/to/10/by/-1"}, True),
        ({"levelist": ["1/to/137"]}, {"levelist": "20/to/0/by/-1"}, False),
        ({"step": ["0/to/24/by/6"]}, {"step": "24/to/0/by/-12"}, True),
        ({"step": ["24/to/0/by/6"]}, {"step": "0/to/24/by/6"}, True),
        ({"step": ["24/to/1/by/6"]}, {"step": "0/to/24/by/6"}, False),
        ({"step": ["0-1/to/11-12"]}, {"step": "3-4/to/7-8"}, True),
        ({"step": ["0-1/to/11-12"]}, {"step": "0-2/to/2-4"}, False),
        ({"model": ["ifs", "icon"]}, {"model": ["IFS"]}, True),
        ({"model": ["ifs"]}, {"model": ["ifs", "icon"]}, False),
        ({"levelist": [1, "to", 3]}, {"levelist": "to"}, False),
        ({"levelist": [1, "to", 3]}, {"levelist": 1}, False),
        ({"model": "IFS"}, {"model": "ifs"}, True),
        ({"date": ["20240101/to/20240131"]}, {"date": ["20240101", "20240131"]}, True),
        ({"date": ">30d"}, {"date": "20240101/to/20240110"}, True),
        ({"date": ">30d"}, {"date": "20240101/to/-1"}, False),
        ({"date": [0, -1]}, {"date": -1}, True),
        ({"date": []}, {"date": -1}, False),
        ({}, "plain data", True),
        ({"class": "od"}, "plain data", False),
    ],
)
def test_rules_admit_only_subsets(rules: Any, request_: Any, admitted: bool) -> None:
    # Given a source with rules, when a request is judged, then all of its values decide
    result = judge(request_, match=rules)
    assert bool(result) is admitted
    assert bool(result.reason) is not admitted


def test_a_long_range_is_judged_on_all_of_its_steps() -> None:
    # Given the embargo bypass of the earlier server: 0/to/120/by/6 was judged as step 2
    result = judge({"step": "0/to/120/by/6"}, match={"step": "0/to/24"})
    assert result.reason == ("key 'step' : '30', '36', '42', '48', '54' and 11 more not in ['0/to/24']")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"class": "od"}, "key 'class' : 'od' not in ['ai', 'ea']"),
        ({}, "request does not contain key 'class', expected one of ['ai', 'ea']"),
        ({"class": "ai", "x": 1}, "key 'x' is not accepted"),
        ({"class": "ai", "feature": {}}, "the data source does not accept the key 'feature'"),
        ({"class": "ai", "date": "20240229"}, "key 'date' : '20240229' not in ['20240101']"),
    ],
)
def test_the_reason_names_key_value_and_what_is_allowed(request_: Any, reason: str) -> None:
    rules = {"class": ["ai", "ea"], "x": [], "date": ["20240101"]}
    assert judge(request_, match=rules).reason == reason


def test_feature_is_needed_by_polytope_alone() -> None:
    feature = {"type": "timeseries", "points": [[1, 2]]}
    assert judge({"feature": feature}, accepts_feature=True).request == {"feature": feature}
    assert judge({}, accepts_feature=True).reason == "the data source needs the key 'feature'"
    assert not judge({"feature": feature}, match={"feature": ["x"]})
    assert not judge({"feature": feature}, accepts_feature=True, match={"feature": ["x"]})


def test_defaults_are_filled_in_before_and_the_patch_after_matching() -> None:
    # Given a source with a default that a rule needs, and a patch that no rule would admit
    request = coerce({"step": [0, 6], "class": "od"})
    source = SourceRules(
        match={"expver": [1], "class": "od"},
        defaults={"Expver": 1, "CLASS": "rd", "date": -1},
        patch={"expver": 79, "param": ["a", "b"]},
    )
    # When a request matches
    result = match(request, source, realm="", user_roles=(), today=TODAY)
    # Then it is complete, patched, and its lists are joined; the request itself is as it was
    assert result.request == {
        "expver": "0079",
        "class": "od",
        "date": "20240229",
        "step": "0/6",
        "param": "a/b",
    }
    assert request == {"step": ["0", "6"], "class": "od"}


def test_data_and_feature_are_delivered_as_they_came() -> None:
    assert judge([1, 2]).request == {"data": [1, 2]}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"match": {"step": ["x"]}}, "'x'"),
        ({"match": {"step": None}}, "None"),
        ({"match": {"step": [[1]]}}, "[[1]]"),
        ({"match": {"date": [">1d", 0]}}, "style"),
        ({"defaults": {"step": "x"}}, "defaults or patch"),
        ({"patch": {"step": "x"}}, "defaults or patch"),
    ],
)
def test_a_wrong_configuration_rejects_and_says_so(source: dict[str, Any], named: str) -> None:
    result = judge({"step": 1, "date": "20240101"}, **source)
    assert not result
    assert "wrong" in result.reason
    assert named in result.reason


def test_the_coercion_of_the_configuration_holds_for_defaults() -> None:
    source = SourceRules(match={"number": [0]}, defaults={"number": 0})
    assert not match({}, source, realm="", user_roles=())
    allowed = match({}, source, realm="", user_roles=(), coercion=CoercionRules(number_allow_zero=True))
    assert allowed.request == {"number": "0"}


@pytest.mark.parametrize(
    ("rules", "problems"),
    [
        ({"class": ["od", 1], "step": "0/to/24/by/6", "x": [], "date": [">1d", "<5d"]}, []),
        ({"date": ["-5/to/0", 20240101]}, []),
        ([], ["mapping"]),
        ({"class": "od", "CLASS": "rd"}, ["twice"]),
        ({"class": {"a": 1}, "step": None, "expver": "toolong"}, ["'class'", "'step'", "'toolong'"]),
        ({"step": [["0"]]}, ["inside the list"]),
        ({"step": "0/to/9999999"}, ["at most"]),
        ({"levelist": [1, "to", 3]}, ["not a range"]),
        ({"date": [">1d", "20240101"]}, ["one style"]),
        ({"date": ["20240101/to/20240105/by/2"]}, ["without by"]),
        ({"date": ">1w"}, ["comparison"]),
    ],
)
def test_the_configuration_check_finds_wrong_rules(rules: Any, problems: list[str]) -> None:
    found = validate_rules(rules)
    assert len(found) == len(problems)
    assert all(word in text for word, text in zip(problems, found, strict=True))


def test_the_configuration_check_covers_defaults_and_patch() -> None:
    source = SourceRules(match={"date": "x"}, defaults={"step": "x"}, patch={"a b": 1})
    assert [problem.split(":")[0] for problem in validate_source(source)] == ["match", "defaults", "patch"]
    assert validate_source(SourceRules(match={"class": "od"}, patch={"expver": 1})) == []


ranges = st.one_of(
    st.builds("{}/to/{}/by/{}".format, st.integers(0, 20), st.integers(20, 60), st.integers(1, 12)),
    st.builds("{}/to/{}".format, st.integers(0, 5), st.integers(5, 9)),
)
steps = st.lists(st.one_of(st.integers(0, 60), ranges), min_size=1, max_size=6)


@given(st.sampled_from(["step", "number", "levelist"]), ranges, steps)
@quick
def test_a_range_is_admitted_if_and_only_if_each_of_its_values_is(
    key: str, requested: str, rule: list[Any]
) -> None:
    rules = CoercionRules(number_allow_zero=True)

    def admitted(value: str) -> bool:
        source = SourceRules(match={key: rule})
        return bool(match(coerce({key: value}, rules), source, realm="", user_roles=(), coercion=rules))

    assert admitted(requested) == all(admitted(value) for value in as_values(key, requested))
