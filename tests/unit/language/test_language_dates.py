"""Date rules of data sources, against brute-force oracles. The moment is given: no test reads the clock."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import check_dates

from polytope_server.language import RequestError
from polytope_server.language.errors import RuleError

NOW = datetime.datetime(2024, 3, 1, 10, 30, tzinfo=datetime.UTC)
TODAY = NOW.date()
quick = settings(deadline=None, database=None, max_examples=200)


def served(value: Any, rules: Any) -> bool:
    return check_dates(value, rules, now=NOW) is None


@pytest.mark.parametrize(
    ("value", "rules", "expected"),
    [
        ("20240130", ">30d", True),
        ("20240131", ">30d", True),
        ("20240201", ">30d", False),
        ("20240131", "<30d", False),
        ("20240201", "<30d", True),
        ("20240125", [">30d", "<40d"], True),
        ("20240301", ["> 10h"], True),
        ("20240301", [">11h"], False),
        ("20240301", [">10h30m"], False),
        ("20240301", [">10H29m"], True),
        ("20240229", ["<1d12h"], True),
        (["20240101", "20240229"], ">30d", False),
        ("20240101/to/20240201", ">30d", False),
        ("20240101/to/20240201/by/31", ">30d", False),
        ("20240101/to/20240201/by/20", ">30d", True),
        ("-60/to/-40", ">30d", True),
        ("20240101", "20240101", True),
        ("2024-01-01", 20240101, True),
        (0, [0, -1], True),
        (-2, [0, -1], False),
        ("20240105", "20240101/to/20240110", True),
        (["20240105", "20240301"], ["20240101/to/20240110", 0], True),
        (["20240105", "20240228"], ["20240101/to/20240110", 0], False),
        ("20240105/20240301", ["2024-01-01/to/2024-01-10", "0"], True),
        ("20240101/to/20240120", ["20240101/to/20240110", "20240111/to/20240120"], True),
        ("20240101/to/20240121", ["20240101/to/20240110", "20240111/to/20240120"], False),
        ("20240101/to/20240103", "20240101/20240102/20240103", True),
        ("20240101/to/20240103/by/2", "20240101/20240103", True),
        ("20240228/to/20240301", "-2/TO/0", True),
        ("20240101", "0/to/-5", False),
        ("-5", ["-1/to/-20"], True),
        ("-21", ["-1/to/-20"], False),
        ("20240105", "20240110/to/20240101", True),
        ("20240110/to/20240101", "20240101/to/20240110", True),
        ("20240111/to/20240101/by/-1", "20240101/to/20240110", False),
        ("-5/to/-10", ">30d", False),
        ("-60/to/-70", ">30d", True),
        # It begins in the future: until then it covers no day, least of all those before the fifth last.
        ("0", "20990101/to/-5", False),
        ("20301231", "20990101/to/-5", False),
        ("20240101", [], False),
        ("20240101", datetime.date(2024, 1, 1), True),
    ],
)
def test_dates_are_served_as_the_rules_say(value: Any, rules: Any, expected: bool) -> None:
    assert served(value, rules) is expected


@pytest.mark.parametrize(
    "rules",
    [
        [">1d", "20240101"],
        ">",
        ">5",
        "<1w",
        ">1d<5d",
        ">999999d",
        "x",
        "20240230",
        "20240101/to/20240110/by/2",
        "20240101/to",
        "1",
        None,
        True,
        {"a": 1},
        [["20240101"]],
    ],
)
def test_wrong_rules_are_the_operators_error(rules: Any) -> None:
    with pytest.raises(RuleError):
        check_dates("20240101", rules, now=NOW)


def test_a_value_without_dates_is_the_users_error() -> None:
    with pytest.raises(RequestError, match="'x'"):
        check_dates("x", ">1d", now=NOW)


def test_the_reason_names_the_date_and_the_rule() -> None:
    assert check_dates("20240229", ">30d", now=NOW) == (
        "'20240229' is not older than 2024-01-31 10:30 UTC (rule '>30d')"
    )
    assert check_dates("20230101", "<30d", now=NOW) == (
        "'20230101' is not newer than 2024-01-31 10:30 UTC (rule '<30d')"
    )
    assert check_dates("20230101", [0, "-3/to/-1"], now=NOW) == "'20230101' not in ['0', '-3/to/-1']"


def test_the_moment_is_in_utc() -> None:
    # Given the same moment in UTC without saying so, and in a zone where it is tomorrow already
    east = datetime.timezone(datetime.timedelta(hours=14))
    for now in (NOW.replace(tzinfo=None), NOW.astimezone(east)):
        # Then "today" is the day in UTC
        assert check_dates("20240301", [0], now=now) is None
        assert check_dates("20240302", [0], now=now) is not None
    assert check_dates("20240301", [0, -1], today=TODAY) is None
    assert check_dates("20240301", "<0d", today=TODAY) is None
    assert check_dates("20000101", ">1d") is None


def moment(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


day = st.dates(datetime.date(2023, 12, 1), datetime.date(2024, 3, 10))
span = st.tuples(day, day).map(sorted)
requested = st.one_of(
    day.map(lambda one: (f"{one:%Y%m%d}", [one])),
    st.lists(day, min_size=1, max_size=5).map(lambda many: ([f"{one:%Y%m%d}" for one in many], many)),
    st.tuples(span, st.integers(1, 9)).map(
        lambda drawn: (
            f"{drawn[0][0]:%Y%m%d}/to/{drawn[0][1]}/by/{drawn[1]}",
            [
                drawn[0][0] + datetime.timedelta(days=n)
                for n in range(0, (drawn[0][1] - drawn[0][0]).days + 1, drawn[1])
            ],
        )
    ),
)
comparison = st.tuples(st.sampled_from("<>"), st.integers(0, 90), st.integers(0, 40), st.integers(0, 99))


@given(requested, st.lists(comparison, min_size=1, max_size=3))
@quick
def test_comparative_rules_agree_with_brute_force(request_: Any, drawn: list[Any]) -> None:
    value, dates = request_
    rules = [f"{sign}{d}d{h}h{m}m" for sign, d, h, m in drawn]

    def holds(one: datetime.date, sign: str, d: int, h: int, m: int) -> bool:
        age = NOW - moment(one)
        limit = datetime.timedelta(days=d, hours=h, minutes=m)
        return age > limit if sign == ">" else age <= limit

    assert served(value, rules) == all(holds(one, *rule) for one in dates for rule in drawn)


offset = day.map(lambda one: min(one, TODAY)).map(lambda one: (str((one - TODAY).days), [one]))
mars_rule = st.one_of(
    offset,
    day.map(lambda one: (one.isoformat(), [one])),
    st.lists(day, min_size=2, max_size=4).map(lambda many: ("/".join(f"{one:%Y%m%d}" for one in many), many)),
    span.map(
        lambda ends: (
            f"{ends[0]}/to/{ends[1]}",
            [ends[0] + datetime.timedelta(days=n) for n in range((ends[1] - ends[0]).days + 1)],
        )
    ),
)


@given(requested, st.lists(mars_rule, min_size=1, max_size=4))
@quick
def test_mars_rules_agree_with_brute_force(request_: Any, drawn: list[Any]) -> None:
    value, dates = request_
    covered = {one for _, days in drawn for one in days}
    assert served(value, [rule for rule, _ in drawn]) == (set(dates) <= covered)
