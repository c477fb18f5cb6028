"""Coercion: each rule of section 13.3, injection (S2), bounds, and properties of the whole."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import as_values, count_of_values

from polytope_server.language import CoercionRules, RequestError, coerce

TODAY = datetime.date(2024, 3, 1)
quick = settings(deadline=None, database=None, max_examples=120)


def coerced(key: str, value: Any, rules: CoercionRules | None = None) -> Any:
    return coerce({key: value}, rules or CoercionRules(), today=TODAY)[key]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("date", 20240101, "20240101"),
        ("date", "2024-01-01", "20240101"),
        ("date", "2024-01-01 00:00:00", "20240101"),
        ("date", datetime.date(2024, 1, 1), "20240101"),
        ("date", datetime.datetime(2024, 1, 1), "20240101"),
        ("date", 0, "20240301"),
        ("date", -1, "20240229"),
        ("date", "-1", "20240229"),
        ("date", "-3/to/-1", "20240227/to/20240229"),
        ("date", "20240101/TO/2024-01-05/By/02", "20240101/to/20240105/by/2"),
        ("date", "20240101/-1", ["20240101", "20240229"]),
        ("date", [20240101], ["20240101"]),
        ("date", "00010101", "00010101"),
        ("step", 0, "0"),
        ("step", 12.0, "12"),
        ("step", "012", "12"),
        ("step", "30m", "30m"),
        ("step", "1h30m", "1h30m"),
        ("step", "90M", "1h30m"),
        ("step", "2d", "48"),
        ("step", "15s", "15s"),
        ("step", "0-24", "0-24"),
        ("step", "0h-1d", "0-24"),
        ("step", " 0 / 6/12 ", ["0", "6", "12"]),
        ("step", [0, "6", "0-24"], ["0", "6", "0-24"]),
        ("step", "0/to/24/by/6", "0/to/24/by/6"),
        ("step", "0/to/2h/by/30m", "0/to/2/by/30m"),
        ("step", ["0/to/24/by/6"], "0/to/24/by/6"),
        ("step", ["0/6"], ["0", "6"]),
        ("date", ["20240101/to/2024-01-05"], "20240101/to/20240105"),
        ("step", "24/to/0/by/-6", "24/to/0/by/-6"),
        ("step", "24/to/0/by/6", "24/to/0/by/-6"),
        ("step", "0-1/to/7-8", "0-1/to/7-8/by/1"),
        ("step", "0h-1d/to/48-72/by/12", "0-24/to/48-72/by/12"),
        ("date", "-1/to/-3", "20240229/to/20240227"),
        ("date", "2024-060", "20240229"),
        ("date", "2024-366", "20241231"),
        ("number", 1, "1"),
        ("number", "01", "1"),
        ("number", "1/to/50", "1/to/50"),
        ("param", 130, "130"),
        ("param", 130.128, "130.128"),
        ("param", "2t/msl", ["2t", "msl"]),
        ("time", 0, "0000"),
        ("time", 12, "1200"),
        ("time", "06", "0600"),
        ("time", 600, "0600"),
        ("time", "1200", "1200"),
        ("time", "12:00", "1200"),
        ("time", "12:00:00", "1200"),
        ("time", "0/to/18/by/6h", "0000/to/1800/by/6"),
        ("time", "0000/to/2300/by/0100", "0000/to/2300/by/1"),
        ("time", "00:00/to/18:00/by/06:00", "0000/to/1800/by/6"),
        ("time", ["0", "12:00"], ["0000", "1200"]),
        ("expver", 1, "0001"),
        ("expver", "0001", "0001"),
        ("expver", "iekm", "iekm"),
        ("model", "IFS-Nemo", "ifs-nemo"),
        ("model", 5, "5"),
        ("model", ["IFS", "ICON"], ["ifs", "icon"]),
        ("experiment", "Hist/cont", ["hist", "cont"]),
        ("activity", ["baseline"], ["baseline"]),
        ("experiment", "HIST", "hist"),
        ("activity", "ScenarioMIP", "scenariomip"),
        ("timespan", None, "none"),
        ("timespan", "1h", "1h"),
        ("class", "od/ai", ["od", "ai"]),
        ("levelist", [500, 1000.0, True], ["500", "1000", "true"]),
        ("levelist", "500/1000", "500/1000"),
        ("levelist", "1000/to/500/by/-100", "1000/to/500/by/-100"),
        ("quantile", "1:10/to/10:10", "1:10/to/10:10"),
        ("grid", [1.0, 1.0], ["1", "1"]),
        ("accuracy", 16, 16),
        ("flag", True, True),
        ("nothing", None, None),
        ("hdate", datetime.date(2024, 1, 1), "2024-01-01"),
        ("data", "a=b,\n'c'", "a=b,\n'c'"),
        ("filter", "'select * where id=\"X\"'", "'select * where id=\"X\"'"),
        ("nested", {"A": [1, {"b": "'"}]}, {"A": [1, {"b": "'"}]}),
        ("feature", {"Type": "x", "points": [[1, 2]]}, {"Type": "x", "points": [[1, 2]]}),
    ],
)
def test_accepted_values_are_brought_to_one_spelling(key: str, value: Any, expected: Any) -> None:
    assert coerced(key, value) == expected


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("date", 1, "YYYYMMDD"),
        ("date", "2024-02-30", "'2024-02-30'"),
        ("date", "2024-01-01 12:00:00", "YYYYMMDD"),
        ("date", -999999, "-999999"),
        ("date", "20240101/to", "a/to/b"),
        ("date", "20240101/by/2/to/20240105", "a/to/b"),
        ("date", "20240101/to/20240105/by/0", "greater than 0"),
        ("date", "20240101/to/20240105/by/-1", "greater than 0"),
        ("date", "20240101/to/20240105/by/x", "a/to/b/by/n"),
        ("date", "00010101/to/99991231", "at most 100000"),
        ("date", ["20240101/to/20240105", "20240107"], "write a range a/to/b as one text"),
        ("date", "2024-02-29/-1", "twice"),
        ("step", -1, "hours"),
        ("step", "24-0", "hours"),
        ("step", "1-2-3", "hours"),
        ("step", "x-1", "hours"),
        ("step", "", "hours"),
        ("step", "1x", "hours"),
        ("step", "²", "hours"),
        ("step", "0-24/to/48", "where a and b are hours"),
        ("step", "0-24/to/48-73", "of the same length"),
        ("step", "0/to/24/by/-6", "greater than 0"),
        ("step", "24/to/0/by/--6", "a/to/b/by/n"),
        ("date", "2023-366", "YYYY-DDD"),
        ("date", [20240101, "to", 20240105], "write a range a/to/b as one text"),
        ("step", ["0", "to", "24", "BY", 6], "write a range a/to/b as one text"),
        ("time", ["0", "to", "12"], "write a range a/to/b as one text"),
        ("number", [1, " to ", 5], "write a range a/to/b as one text"),
        ("step", "0//6", "''"),
        ("step", [], "1 to 100000"),
        ("step", [0] * 100_001, "100001"),
        ("step", ["1h", "60m"], "twice"),
        ("step", [1, "x", "y"], "'y'"),
        ("step", True, "True"),
        ("step", None, "None"),
        ("param", False, "False"),
        ("param", "to", "a list or a single value"),
        ("number", 0, "1 or more"),
        ("number", "0/to/5", "1 or more"),
        ("number", "1/to/5/by/0.5", "a/to/b/by/n"),
        ("number", 1.5, "1 or more"),
        ("number", float("nan"), "nan"),
        ("param", "", "a name"),
        ("param", "a/to/b", "a list or a single value"),
        ("param", {"a": 1}, "{'a': 1}"),
        ("param", ["a/b", "c"], "'a/b'"),
        ("param", [["a/b"]], "['a/b']"),
        ("class", ["a", "to", "b"], "inside a list"),
        ("time", "12:30", "minutes 00"),
        ("time", 24, "minutes 00"),
        ("time", "0/to/18/by/0630", "a/to/b/by/n"),
        ("time", "0/to/18/by/24", "a/to/b/by/n"),
        ("expver", 10000, "four"),
        ("expver", "abc", "four"),
        ("timespan", "a/to/b", "a single value"),
        ("levelist", "1/to/1000000", "at most 100000"),
        ("levelist", ["1", "to", "1000000"], "at most 100000"),
        ("levelist", "1/to/5/by/0", "must not be 0"),
        ("levelist", "1/2/to/5", "a range beside other values"),
        ("step", "0/to/24/by/6/36", "a range beside other values"),
        ("step", "0/by/6/to/24", "is not a range"),
        ("levelist", "0/to/1e9", "a/to/b"),
        ("levelist", "0/to/inf", "a/to/b"),
        ("levelist", [], "empty"),
        ("levelist", b"x", "b'x'"),
        ("weird key", 1, "'weird key'"),
        ("a,b", 1, "'a,b'"),
        ("class=od", 1, "letters"),
        ("", 1, "letters"),
        ("<<", 1, "letters"),
    ],
)
def test_refused_values_are_named_with_what_is_accepted(key: str, value: Any, named: str) -> None:
    # Given a value outside of its rule, when it is coerced
    with pytest.raises(RequestError, match=r"(?s).") as error:
        coerced(key, value)
    # Then the message names the key, and the value or what is accepted
    assert named in str(error.value)
    assert len(str(error.value)) < 3000


@pytest.mark.parametrize("key", ["class", "param", "model", "levelist", "anything"])
@pytest.mark.parametrize("character", [*",='\"\n\r\t#!\\\x00\x7f\x85", "\u2028", "\u202e", "\ud800"])
def test_no_value_can_smuggle_in_another_key(key: str, character: str) -> None:
    for value in (f"od{character}target", f"od{character}", [f"od{character}x"]):
        with pytest.raises(RequestError, match=f"key '{key}'"):
            coerced(key, value)


@pytest.mark.parametrize("key", ["number", "levelist"])
def test_a_number_too_long_to_print_is_refused(key: str) -> None:
    with pytest.raises(RequestError, match="a very long number"):
        coerced(key, 10**5000)


def test_letters_beyond_ascii_are_harmless() -> None:
    assert coerced("name", "Zürich 東京") == "Zürich 東京"


@pytest.mark.parametrize("value", ["text", 5, None, [1, 2], True])
def test_what_is_no_mapping_becomes_data(value: Any) -> None:
    assert coerce(value) == {"data": value}


def test_keys_in_two_cases_are_refused_even_if_the_first_is_wrong() -> None:
    with pytest.raises(RequestError) as error:
        coerce({"Step": "x", "step": 1})
    assert len(error.value.problems) == 2


def test_all_problems_come_in_one_message_a_line_each() -> None:
    with pytest.raises(RequestError) as error:
        coerce({"step": ["x", "y"], "number": 0, "Class": "a,b", "model": "OK"})
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "key 'step'",
        "key 'step'",
        "key 'number'",
        "key 'class'",
    ]


def test_a_message_does_not_grow_with_the_request() -> None:
    with pytest.raises(RequestError) as error:
        coerce({"step": ["x" * 1000] * 1000})
    assert len(str(error.value).splitlines()) == 21
    assert "and 980 more" in str(error.value)


def test_the_configuration_allows_more_keys_and_number_zero() -> None:
    rules = CoercionRules(
        frozenset({"number", "levelist"}), frozenset({"levelist", "model"}), number_allow_zero=True
    )
    assert coerced("number", "0/to/5", rules) == "0/to/5"
    assert coerced("levelist", "500/1000", rules) == ["500", "1000"]
    assert coerced("levelist", "1/to/137", rules) == "1/to/137"
    assert coerced("model", "A/B", rules) == ["a", "b"]
    with pytest.raises(RequestError, match="expected a single value"):
        coerced("date", "20240101/to/20240102", rules)
    with pytest.raises(RequestError, match="a list"):
        coerced("date", ["20240101"], rules)


def test_relative_dates_count_from_today_in_utc_by_default() -> None:
    before = datetime.datetime.now(datetime.UTC).date()
    found = coerce({"date": 0})["date"]
    after = datetime.datetime.now(datetime.UTC).date()
    assert found in (f"{before:%Y%m%d}", f"{after:%Y%m%d}")


@pytest.mark.parametrize("key", ["step", "number", "levelist", "time", "date"])
def test_an_endless_range_is_refused_at_once(key: str) -> None:
    start = time.process_time()
    with pytest.raises(RequestError):
        coerced(key, "0/to/1000000000/by/1")
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("step", "0/to/24/by/6", ["0", "6", "12", "18", "24"]),
        ("step", "0/to/1/by/30m", ["0", "30m", "1"]),
        ("step", "0-24", ["0-24"]),
        ("step", "0-1/to/7-8", [f"{n}-{n + 1}" for n in range(8)]),
        ("step", "24/to/1/by/6", ["6", "12", "18", "24"]),
        ("time", "0000/to/2300/by/0100", [f"{n:02}00" for n in range(24)]),
        ("date", "20240228/to/20240301", ["20240228", "20240229", "20240301"]),
        ("date", "20240101/to/20240110/by/7", ["20240101", "20240108"]),
        ("hdate", "2023-12-31/to/2024-01-01", ["20231231", "20240101"]),
        ("time", "0000/to/1800/by/6", ["0000", "0600", "1200", "1800"]),
        ("number", ["1", "2"], ["1", "2"]),
        ("levelist", "0/to/1/by/0.5", ["0", "0.5", "1"]),
        ("levelist", ["1", "to", "3"], ["1", "2", "3"]),
        ("class", "od", ["od"]),
        ("accuracy", 16, ["16"]),
    ],
)
def test_a_value_expands_to_its_single_values(key: str, value: Any, expected: list[str]) -> None:
    assert as_values(key, value, today=TODAY) == expected
    assert count_of_values(key, value, today=TODAY) == len(expected)


@pytest.mark.parametrize("value", [None, {}, [None], [], "1/to/9999999", "x/to/y", "/".join("a" * 100_001)])
def test_what_has_no_countable_values_is_refused(value: Any) -> None:
    with pytest.raises(RequestError, match="key 'levelist'"):
        as_values("levelist", value)


def test_a_value_that_its_key_never_takes_is_refused() -> None:
    with pytest.raises(RequestError, match="'x' is not accepted"):
        as_values("step", ["0", "x"])


days = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(str)
entries = {
    "date": st.one_of(days, st.integers(-50, 0), st.lists(days, min_size=1, unique=True, max_size=4)),
    "step": st.one_of(
        st.integers(0, 400),
        st.builds("{}h{}m".format, st.integers(0, 99), st.integers(0, 99)),
        st.builds("{}/to/{}/by/{}m".format, st.integers(0, 9), st.integers(9, 99), st.integers(1, 999)),
    ),
    "time": st.one_of(st.integers(0, 23), st.builds("{:02}:00".format, st.integers(0, 23))),
    "number": st.lists(st.integers(1, 50), unique=True, min_size=1, max_size=4),
    "expver": st.integers(0, 9999),
    "Model": st.text("aBc", min_size=1),
    "Levelist": st.lists(st.floats(0, 1000), min_size=1, max_size=3),
    "feature": st.dictionaries(st.text(), st.integers(), max_size=2),
    "other": st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
}
requests = st.fixed_dictionaries({}, optional=entries)


@given(st.one_of(requests, st.text(), st.dictionaries(st.text(), st.text())))
@quick
def test_coercing_again_changes_nothing(request_: Any) -> None:
    try:
        once = coerce(request_, today=TODAY)
    except RequestError:
        return
    assert coerce(once, today=TODAY + datetime.timedelta(days=9)) == once


@given(requests, st.randoms(use_true_random=False))
@quick
def test_the_case_of_keys_does_not_matter(request_: dict[str, Any], random: Any) -> None:
    other = {
        "".join(random.choice((c.lower(), c.upper())) for c in key): value for key, value in request_.items()
    }
    assert outcome(request_) == outcome(other)


def outcome(request: dict[str, Any]) -> Any:
    try:
        return coerce(request, today=TODAY)
    except RequestError as error:
        return str(error)


junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from(["to", "by", "1", "0/to/9"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([*"ab", "date", "step", "time", "number", "expver", "param", "timespan"]), junk
    )
)
@quick
def test_no_request_raises_anything_but_a_request_error(request_: dict[str, Any]) -> None:
    outcome(request_)


@given(
    st.sampled_from(["date", "step", "time", "number", "levelist"]),
    st.lists(
        st.sampled_from(
            ["0", "1", "-1", "20240101", "to", "by", "TO", "1h", "30m", "1.5", "x", "", "0-6", "999999999999"]
        ),
        min_size=1,
        max_size=6,
    ),
)
@quick
def test_a_range_is_counted_as_it_expands(key: str, words: list[str]) -> None:
    try:
        values = as_values(key, "/".join(words), today=TODAY)
    except RequestError:
        with pytest.raises(RequestError, match=f"key '{key}'"):
            count_of_values(key, "/".join(words), today=TODAY)
    else:
        assert count_of_values(key, "/".join(words), today=TODAY) == len(values) <= 100_000
