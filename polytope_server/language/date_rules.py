"""Date rules of a data source: which dates it serves (spec 13.2). All times are UTC.

Comparative rules (`">30d"`, `"<40d"`) must all hold; MARS-style rules (a date, a list, a range) hold when any
of them covers each date. One data source uses one style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from polytope_server.language.errors import RuleError, shown
from polytope_server.language.ranges import as_values, split
from polytope_server.language.values import date_text, read_date, scalar_text

DateTest = Callable[[date], str | None]
"""Why a date is not served, in words; None if it is."""

_COMPARATIVE = re.compile(r"\s*([<>])\s*((?:[0-9]{1,6}\s*[dhm]\s*)+)", re.IGNORECASE)
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def utc_moment(today: date | None, now: datetime | None) -> datetime:
    """What rules count from: `now` (naive means UTC), else the midnight of `today`, else the clock."""
    if now is not None:
        return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
    return datetime.now(UTC) if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC)


def check_dates(
    value: object, rules: object, *, today: date | None = None, now: datetime | None = None
) -> str | None:
    """None if the rules cover every date that `value` describes, else the reason, naming date and rules.

    `value`: a date, a list, or a range, as coerced or as written. `rules`: one rule or a list of them.
    Without `today` it is the day of `now`. RuleError if the rules are wrong or mix the two styles,
    RequestError if the value describes no dates or too many.
    """
    moment = utc_moment(today, now)
    day = today or moment.date()
    test = date_test(rules, today=day, now=moment)
    for text in as_values("date", value, today=day):
        found = read_date(text, day)
        reason = test(found) if found else None
        if reason:
            return reason
    return None


def date_test(rules: object, *, today: date, now: datetime) -> DateTest:
    """The rules as one test of a date; RuleError if they are wrong or mix the two styles."""
    items = list(rules) if isinstance(rules, list | tuple) else [rules]
    texts = [scalar_text(item) for item in items]
    known = [text for text in texts if text is not None]
    if len(known) < len(items) or any(isinstance(item, bool) for item in items):
        raise RuleError(f"date rules {shown(rules)} must be texts or dates")
    comparative = [text for text in known if "<" in text or ">" in text]
    if comparative and len(comparative) < len(known):
        raise RuleError(f"date rules {shown(known)} mix comparisons (>30d) with dates; use one style")
    return _all_hold(comparative, now) if comparative else _any_covers(known, today)


def _all_hold(rules: Sequence[str], now: datetime) -> DateTest:
    limits = [(rule, *_limit(rule, now)) for rule in rules]

    def test(day: date) -> str | None:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for rule, older, limit in limits:
            # A date exactly at the limit counts as newer, so that `>30d` and `<30d` leave no gap.
            if (midnight < limit) is not older:
                side = "older" if older else "newer"
                return f"'{date_text(day)}' is not {side} than {limit:%Y-%m-%d %H:%M} UTC (rule '{rule}')"
        return None

    return test


def _limit(rule: str, now: datetime) -> tuple[bool, datetime]:
    parts = _COMPARATIVE.fullmatch(rule)
    if not parts:
        raise RuleError(
            f"date rule {shown(rule)} is not a comparison; expected > or < and days, hours, minutes: >1d12h"
        )
    age = timedelta()
    try:
        for count, unit in re.findall(r"([0-9]+)\s*([dhm])", parts[2].lower()):
            age += timedelta(**{_UNITS[unit]: int(count)})
        return parts[1] == ">", now - age
    except OverflowError:
        raise RuleError(f"date rule {shown(rule)} reaches back before the calendar") from None


def _any_covers(rules: Sequence[str], today: date) -> DateTest:
    spans = [span for rule in rules for span in _spans(rule, today)]

    def test(day: date) -> str | None:
        if any(first <= day <= last for first, last in spans):
            return None
        return f"'{date_text(day)}' not in {shown(list(rules), 300)}"

    return test


def _spans(rule: str, today: date) -> list[tuple[date, date]]:
    """First and last day of each item of one MARS-style rule. A range from late to early covers none."""
    words = split(rule)
    ends = words[::2] if len(words) == 3 and words[1].lower() == "to" else []
    days = [read_date(word, today) for word in ends or words]
    known = [day for day in days if day is not None]
    if len(known) < len(days):
        raise RuleError(
            f"date rule {shown(rule)} is not accepted; expected a date, a/b/c, or a/to/b without by"
        )
    return [(known[0], known[1])] if ends else [(day, day) for day in known]
