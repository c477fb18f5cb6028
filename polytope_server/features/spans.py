"""Spans of levels and steps, as texts of a request."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

from polytope_server.language.ranges import parse_range
from polytope_server.language.values import step_text, utc_today

_HOUR = 3600
#: Numbers that differ by less are one: sums of decimal fractions are not exact.
_SLACK = 1e-6


def level_span(low: float, high: float) -> str:
    """The levels between two numbers. There are fractions of levels below 1 only (of hPa)."""
    start = low if low < 1 else float(math.ceil(low - _SLACK))
    end = high if high < 1 else float(math.floor(high + _SLACK))
    if start > end:
        start, end = low, high
    return _span(_decimal(start), _decimal(end))


def step_span(low: float, high: float, unit: int = _HOUR) -> str:
    """The steps between two numbers of hours: whole numbers of a unit of seconds, unless there are none."""
    ends = low * _HOUR / unit, high * _HOUR / unit
    start, end = math.ceil(ends[0] - _SLACK) * unit, math.floor(ends[1] + _SLACK) * unit
    if start > end:
        start, end = round(low * _HOUR), round(high * _HOUR)
    return _span(step_text(start), step_text(end))


def _span(start: str, end: str) -> str:
    return start if start == end else f"{start}/to/{end}"


def _decimal(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def select_archived(
    key: str, text: str, archived: Iterable[str], *, judged: bool, today: date | None = None
) -> list[str]:
    """Of the values that an archive has of a key, those that a range without `by` means, as it runs.

    These are all between its ends. Where the rules of the data source have `judged` the key, it is what they
    have judged: whole hours or days, counted from its start. RequestError for a text that is no range.
    """
    found = parse_range(key, text, today or utc_today())
    there = {found.axis.position(value, date.min): value for value in archived}
    first, last = sorted((found.start, found.end))
    pitch = found.pitch if judged else 1
    chosen = [
        position
        for position in there
        if position is not None and first <= position <= last and (position - found.start) % pitch == 0
    ]
    return [there[position] for position in sorted(chosen, reverse=found.downwards)]
