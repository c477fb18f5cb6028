"""What a text costs: what is counted here grows with the text, and not with what it describes (no times)."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import as_values, check_dates, match

from polytope_server.language import (
    MAX_VALUES,
    Judgement,
    RequestError,
    SourceRules,
    coerce,
    matching,
    parse,
    ranges,
)
from polytope_server.language.values import date_text

TODAY = datetime.date(2024, 3, 1)
NOW = datetime.datetime(2024, 3, 1, 15, 30, tzinfo=datetime.UTC)
quick = settings(deadline=None, database=None, max_examples=200)


def judged(request: Any) -> Judgement:
    return Judgement(coerce(request, today=TODAY), realm="", user_roles=(), today=TODAY)


def recorded(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> list[object]:
    """The first argument of each call of a function, which goes on as before."""
    calls: list[object] = []

    def record(first: object, *others: Any, **named: Any) -> Any:
        calls.append(first)
        return function(first, *others, **named)

    monkeypatch.setattr(name, record)
    return calls


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every date that is made of a position in a range."""
    return recorded(monkeypatch, "polytope_server.language.ranges.date_text", date_text)


@pytest.mark.parametrize("rule", [">30d", ["<40d", ">30d"], "20240101/to/20240131", [20240101, -3]])
def test_a_range_of_dates_is_judged_without_any_of_its_dates(made: list[object], rule: Any) -> None:
    # Given a range of 100,000 days, and ten data sources with date rules
    judgement = judged({"date": "17531201/to/-1"})
    # When it is judged by all of them, then no more dates are made than the two ends have
    assert not any(judgement.match(SourceRules(match={"date": rule}, patch={"x": n})) for n in range(10))
    assert len(made) <= 4


@pytest.mark.parametrize(
    ("key", "value", "rule"), [("step", "0/to/9000", "0/to/99999"), ("date", "20230101/to/20231231", ">30d")]
)
def test_a_range_within_the_range_of_a_rule_is_not_walked(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, rule: str
) -> None:
    source = SourceRules(match={key: rule})
    assert match({key: "1" if key == "step" else "20230101"}, source, realm="", user_roles=(), today=TODAY)
    judgement = judged({key: value})
    monkeypatch.setattr(ranges.Range, "texts", lambda _: pytest.fail("the range was walked"))
    assert judgement.match(source)


def test_of_a_long_range_only_what_is_named_and_what_the_rule_has_is_looked_at() -> None:
    # Given a range of 99,999 steps, and a rule of three
    result = judged({"step": "0/to/99998"}).match(SourceRules(match={"step": [0, 1, 200000]}))
    # Then the count is right, though the range was not expanded
    assert result.reason == "key 'step' : '2', '3', '4', '5', '6' and 99992 more not in ['0', '1', '200000']"


def test_a_value_is_read_once_for_all_data_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    read = recorded(monkeypatch, "polytope_server.language.matching.read_values", ranges.read_values)
    judgement = judged({"date": [20240101, 20240102], "param": ["2t", "10u"], "levelist": "1/2"})
    rules: list[dict[str, Any]] = [
        {"date": f">{n}d", "param": ["2t", f"x{n}"], "levelist": "1/to/9"} for n in range(5)
    ]
    matching._expand.cache_clear()
    for rule in rules:
        judgement.match(SourceRules(match=rule))
    from_rules = 5 + 1  # of `param`, and of `levelist`, whose rule is the same five times
    assert len(read) - from_rules <= 3 + 5


def test_values_that_must_be_compared_one_by_one_have_one_budget() -> None:
    # Given 3,000 values, and many data sources with different rules that all have them
    values = list(range(1, 3001))
    judgement = judged({"number": values})
    sources = [SourceRules(match={"number": [*values, 3001 + n], "class": "od"}) for n in range(40)]
    # When they are judged one after the other, then the request is refused once the budget is spent
    with pytest.raises(RequestError, match=rf"key 'number': .* more than {MAX_VALUES} comparisons"):
        list(map(judgement.match, sources))
    # And as often as the same rule is met, it is judged once
    judgement = judged({"number": values})
    assert not any(judgement.match(sources[0]) for _ in range(100))


spans = st.builds(
    lambda first, days, pitch: f"{-first - days}/to/{-first}" + (f"/by/{pitch}" if pitch else ""),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(0, 9),
)
plain = st.builds(lambda first, days: f"{-first - days}/to/{-first}", st.integers(0, 60), st.integers(0, 20))
date_rules = st.one_of(
    st.lists(
        st.builds("{}{}d{}h".format, st.sampled_from("<>"), st.integers(0, 70), st.integers(0, 23)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.one_of(plain, st.integers(-90, 0).map(str)), min_size=1, max_size=5),
)


@given(spans, date_rules)
@quick
def test_a_range_of_dates_is_judged_as_each_of_its_dates(value: str, rules: list[str]) -> None:
    one_by_one = [check_dates(day, rules, now=NOW) for day in as_values("date", value, today=TODAY)]
    first = next((reason for reason in one_by_one if reason), None)
    assert check_dates(value, rules, now=NOW) == first
    assert check_dates(as_values("date", value, today=TODAY), rules, now=NOW) == first


@given(
    st.sampled_from(["step", "number", "levelist"]),
    st.builds("{}/to/{}/by/{}".format, st.integers(1, 9), st.integers(9, 40), st.integers(1, 7)),
    st.lists(
        st.one_of(
            st.integers(1, 40).map(str),
            st.builds("{}/to/{}/by/{}".format, st.integers(1, 9), st.integers(9, 40), st.integers(1, 7)),
        ),
        min_size=1,
        max_size=5,
    ),
)
@quick
def test_of_a_range_those_values_are_named_that_no_rule_admits(key: str, value: str, rule: list[str]) -> None:
    wrong = [
        one for one in as_values(key, value) if one not in {v for item in rule for v in as_values(key, item)}
    ]
    reason = judged({key: value}).match(SourceRules(match={key: rule})).reason
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    named = f"key '{key}' : {', '.join(map(repr, wrong[:5]))}{more} not in "
    assert reason.startswith(named) if wrong else not reason


# --- parsing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["x", "é"])
def test_what_aliases_repeat_is_counted_in_characters_too(letter: str) -> None:
    # Given a long text with an alias, and a list of aliases: few values, and 30 million characters
    text = f"s: &s {letter * 30_000}\na: [{'*s,' * 1000}]"
    with pytest.raises(RequestError, match="aliases expand"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["[" + "1," * 20_000 + "]", "{" + ",".join(f"a{n}" for n in range(9000)) + "}", "- \n" * 9000]
)
def test_a_text_without_aliases_is_never_too_large_for_their_budget(text: str) -> None:
    assert len(parse(text)) >= 9000


def test_many_directives_of_yaml_are_refused() -> None:
    assert parse("%YAML 1.1\n---\na: 50%\n") == {"a": "50%"}
    with pytest.raises(RequestError, match="begin with %"):
        parse("".join(f"%TAG !a{n}! x\n" for n in range(11)) + "---\na: 1")


@pytest.mark.parametrize("value", [{"a": ["x" * 99] * 99}, [["x"] * 99] * 99, {"x" * 99: {"y": {"z": {}}}}])
def test_what_an_error_quotes_is_cut_before_it_is_written(value: Any) -> None:
    class Expensive(str):
        def __repr__(self) -> str:
            raise AssertionError("written, to be cut off")

    value = [*value, *[Expensive("x")] * 99] if isinstance(value, list) else {**value}
    with pytest.raises(RequestError) as caught:
        coerce({"step": {"nested": value}})
    assert len(str(caught.value)) < 200


def test_values_that_no_rule_admits_are_cut_in_the_reason() -> None:
    reason = (
        judged({"param": ["x" * 50_000 + str(n) for n in range(5)]})
        .match(SourceRules(match={"param": "2t"}))
        .reason
    )
    assert len(reason) < 500
    assert "'xxx" in reason
