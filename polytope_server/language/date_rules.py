"""Date rules of a data source: which dates it serves. All times are UTC.

Comparative rules (`">30d"`, `"<40d"`) must all hold; MARS-style rules (a date, a list, a range) hold when any
of them covers each date. One data source uses one style.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from polytope_server.language.errors import RuleError, shown
from polytope_server.language.ranges import Range, split
from polytope_server.language.values import date_text, is_relative, read_date, scalar_text

Days = Sequence[int]
"""Ordinals of dates: a list, or a `range` that ascends, which is judged by its ends and never walked."""
DateTest = Callable[[Days], str | None]
"""Why the first date that is not served is not, in words; None if all are served."""

_COMPARATIVE = re.compile(r"\s*([<>])\s*((?:[0-9]{1,6}\s*[dhm]\s*)+)", re.IGNORECASE)
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def utc_moment(today: date | None, now: datetime | None) -> datetime:
    """What rules count from: `now` (naive means UTC), else the midnight of `today`, else the clock."""
    if now is not None:
        return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
    return datetime.now(UTC) if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC)


def days_of(values: Range | list[str]) -> Days:
    """The days that a value of the key `date` describes, as `read_values` has read it."""
    if isinstance(values, Range):
        return values.positions
    return [date.fromisoformat(text).toordinal() for text in values]


def date_test(rules: object, *, today: date, now: datetime) -> DateTest:
    """The rules as one test of dates; RuleError if they are wrong or mix the two styles."""
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
    limits = [(rule, *_read_limit(rule, now)) for rule in rules]

    def test(days: Days) -> str | None:
        reasons: dict[int, str] = {}
        for rule, older, limit in limits:
            index = _first_beyond(days, older, _ordinal(limit))
            if index is not None:
                side = "older" if older else "newer"
                place = f"{limit:%Y-%m-%d %H:%M} UTC (rule '{rule}')"
                reasons.setdefault(index, f"'{_day_text(days[index])}' is not {side} than {place}")
        return reasons[min(reasons)] if reasons else None

    return test


def _ordinal(limit: datetime) -> int:
    """The first day whose midnight is not before the limit.

    A date exactly at the limit counts as newer, so that `>30d` and `<30d` leave no gap.
    """
    ordinal = limit.toordinal()
    return ordinal if limit.time() == time() else ordinal + 1


def _first_beyond(days: Days, older: bool, ordinal: int) -> int | None:
    """The index of the first day from `ordinal` on if all must be older, else of the first one before it."""
    if isinstance(days, range):
        index = bisect_left(days, ordinal) if older else 0
        return index if index < len(days) and (days[index] >= ordinal) is older else None
    return next((index for index, day in enumerate(days) if (day >= ordinal) is older), None)


def _day_text(ordinal: int) -> str:
    return date_text(date.fromordinal(ordinal))


def _read_limit(rule: str, now: datetime) -> tuple[bool, datetime]:
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
    spans = _join_spans([span for rule in rules for span in _read_spans(rule, today)])
    firsts = [first for first, _ in spans]

    def end(day: int) -> int | None:
        """The last day of the span that holds this one, None if there is none."""
        index = bisect_right(firsts, day) - 1
        return spans[index][1] if index >= 0 and day <= spans[index][1] else None

    def test(days: Days) -> str | None:
        index = 0
        while index < len(days):
            last = end(days[index])
            if last is None:
                return f"'{_day_text(days[index])}' not in {shown(list(rules), 300)}"
            # A range goes on behind the span: as many steps as there are spans, however long it is.
            index = bisect_right(days, last) if isinstance(days, range) else index + 1
        return None

    return test


def _join_spans(spans: Sequence[tuple[date, date]]) -> list[tuple[int, int]]:
    """The spans as ordinals, in order, those that meet or overlap as one; empty ones left out."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(
        (first.toordinal(), last.toordinal()) for first, last in spans if first <= last
    ):
        if found and first <= found[-1][1] + 1:
            first, last = found[-1][0], max(last, found.pop()[1])
        found.append((first, last))
    return found


def _read_spans(rule: str, today: date) -> list[tuple[date, date]]:
    """First and last day of each item of one MARS-style rule.

    A range from late to early is the same span, unless one end alone moves with the days: `20300101/to/-5`
    covers nothing until then.
    """
    words = split(rule)
    ends = words[::2] if len(words) == 3 and words[1].lower() == "to" else []
    days = [read_date(word, today) for word in ends or words]
    known = [day for day in days if day is not None]
    if len(known) < len(days):
        raise RuleError(
            f"date rule {shown(rule)} is not accepted; expected a date, a/b/c, or a/to/b without by"
        )
    if not ends:
        return [(day, day) for day in known]
    alike = is_relative(ends[0]) == is_relative(ends[1])
    return [(min(known), max(known)) if alike else (known[0], known[1])]
