"""Names of keys that a data source knows by several, values that only some take, and what is no request."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from judging import match

from polytope_server.language import SourceRules, coerce, parse, validate_source
from polytope_server.language.matching import Judgement, MatchResult

ALIASES = {"level": "levelist", "levellist": "levelist", "parameter": "param"}
TODAY = datetime.date(2024, 3, 1)


def judge(request: Any, **source: Any) -> MatchResult:
    rules = SourceRules(**{"aliases": ALIASES, **source})
    return match(coerce(request, today=TODAY), rules, realm="", user_roles=(), today=TODAY)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"levellist": 500}, {"levelist": 500}),
        ({"LEVEL": "500/1000"}, {"levelist": "500/1000"}),
        ({"parameter": ["2t", "msl"]}, {"param": "2t/msl"}),
        ({"parameter": 130}, {"param": "130"}),
        ({"other": 1}, {"other": 1}),
    ],
)
def test_another_name_of_a_key_is_read_as_the_key(given: Any, expected: Any) -> None:
    assert judge(given).request == expected


@pytest.mark.parametrize("name", ["levelist", "level", "LEVELLIST"])
def test_a_rule_for_a_key_holds_by_whatever_name_it_is_called(name: str) -> None:
    for rule in ("levelist", "level"):
        assert judge({name: 500}, match={rule: [500]})
        refused = judge({name: 1000}, match={rule: [500]})
        assert "key 'levelist' : '1000' not in" in refused.reason
    assert not judge({name: 500}, match={"level": []})


def test_defaults_and_patches_may_call_a_key_by_another_name() -> None:
    assert judge({}, defaults={"level": 500}).request == {"levelist": 500}
    assert judge({"levelist": 1000}, defaults={"level": 500}).request == {"levelist": 1000}
    assert judge({"level": 1000}, defaults={"levelist": 500}, patch={"levellist": 850}).request == {
        "levelist": 850
    }


def test_a_key_by_two_names_is_refused() -> None:
    assert judge({"level": 500, "levelist": 1000}).reason == (
        "key 'levelist' is given twice, as level and levelist; give it once"
    )


def test_a_value_under_another_name_is_checked_as_the_keys_own() -> None:
    assert "key 'param'" in judge({"parameter": True}).reason


def test_a_source_without_other_names_gets_the_keys_as_they_are() -> None:
    judgement = Judgement(coerce({"level": 500}), realm="", user_roles=())
    assert judgement.match(SourceRules(aliases=ALIASES)).request == {"levelist": 500}
    assert judgement.match(SourceRules()).request == {"level": 500}
    assert judgement.match(SourceRules(match={"level": 500}))


def test_sections_that_name_a_key_twice_are_found_when_the_configuration_is_checked() -> None:
    wrong = SourceRules(
        match={"level": 1, "levelist": 2},
        defaults={"parameter": "2t", "param": "2t"},
        patch={"level": {}, "levellist": 1},
        aliases=ALIASES,
    )
    problems = validate_source(wrong)
    assert [problem.partition(": ")[0] for problem in problems] == ["match", "defaults", "patch"]
    assert all("given twice" in problem for problem in problems)


@pytest.mark.parametrize(
    "value", [{"station": [1, {"x": "'"}]}, [{"x": 1}, {"x": "a,b"}], [[1, 2], [3, None]], [1, [2]]], ids=str
)
def test_mappings_and_lists_of_them_go_unchanged_to_sources_that_take_mappings(value: Any) -> None:
    given = {"where": value}
    assert judge(given, accepts_mappings=True).request == given
    assert judge(given).reason.startswith("key 'where': ")
    assert "expected a text, a number or a list of them" in judge(given).reason
    assert judge(given, accepts_mappings=True, match={"where": ["x"]}).reason.startswith("key 'where': ")


def test_a_source_may_take_requests_with_and_without_a_feature() -> None:
    feature = {"feature": {"type": "x"}}
    assert judge(feature, accepts_feature=True)
    assert judge(feature, accepts_feature=None).request == feature
    assert judge({"a": "b"}, accepts_feature=None)
    assert (
        judge(feature, accepts_feature=None, match={"feature": []}).reason == "key 'feature' is not accepted"
    )


def test_a_mapping_for_a_source_that_takes_none_is_found_when_the_configuration_is_checked() -> None:
    sections = {"defaults": {"where": {"a": 1}}, "patch": {"who": {"b": 2}}}
    assert validate_source(SourceRules(**sections, accepts_mappings=True)) == []
    assert [problem.partition(": {")[0] for problem in validate_source(SourceRules(**sections))] == [
        *("defaults: key 'where'", "patch: key 'who'")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the request is empty; expected keys with values, such as {"),
        ("null", "the request is empty"),
        ("5", "the request is 5"),
        ("[1, 2]", "the request is a list; expected"),
        ('[{"class": "od"}]', "the request is a list; send what is in it by itself"),
        ("class od", "the request is a text without keys, 'class od'; expected keys with values"),
        (
            "ret,class=od",
            "the request begins with 'ret'; only retrieve may stand before the keys; expected keys",
        ),
        ("disseminate,  \n  expver = 80, type=an", "the request begins with 'disseminate'; only retrieve"),
        (" LIST , class=od", "the request begins with 'LIST'"),
        ("one, two", "the request is a text without keys, 'one, two'"),
    ],
)
def test_what_is_no_request_does_not_pass_a_rule_and_reads_what_one_is(text: str, said: str) -> None:
    assert judge(parse(text), match={"class": "od"}).reason.startswith(said)
    # A source without rules may take it: a text is a request to some.
    assert judge(parse(text))
