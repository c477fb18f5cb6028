"""Ranges `a/to/b[/by/n]` and lists `a/b/c`: how many values they describe, and which.

A range is arithmetic on an axis of whole numbers (days, seconds, hours, millionths), so that it is counted
without being walked: `0/to/1000000000/by/1` is refused before any of its values exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from polytope_server.language.errors import RequestError, shown
from polytope_server.language.values import (
    KINDS,
    NAME,
    date_text,
    hour_text,
    read_date,
    read_hour,
    read_hours,
    read_step,
    scalar_text,
    step_text,
    utc_today,
)

MAX_VALUES = 100_000
"""The most values that one key of a request may describe, and that one request may have judged one by one."""


@dataclass(frozen=True)
class Axis:
    """Positions on one key's axis. The readers answer None for a text that names no position or pitch.

    Pitches are read without their sign.
    """

    position: Callable[[str, date], int | None]
    text: Callable[[int], str]
    pitch: Callable[[str], int | None]
    pitch_text: Callable[[int], str]
    default_pitch: int


@dataclass(frozen=True)
class Range:
    """`start/to/end[/by/pitch]` as positions on an axis, in either direction.

    `pitch` has the sign that was written. `explicit` says whether it was: whether `by` counts.
    """

    axis: Axis
    start: int
    end: int
    pitch: int
    explicit: bool

    @property
    def downwards(self) -> bool:
        """Whether it runs from the greater end to the smaller one."""
        return self.start > self.end

    @property
    def count(self) -> int:
        """How many values it describes."""
        return abs(self.end - self.start) // abs(self.pitch) + 1

    @property
    def positions(self) -> range:
        """Every position, ascending; none of them is made before it is asked for."""
        return self.in_order(self.pitch)[::-1] if self.downwards else self.in_order(self.pitch)

    def in_order(self, pitch: int) -> range:
        """Every position as the range runs, in steps of this pitch instead of its own."""
        step = -abs(pitch) if self.downwards else abs(pitch)
        return range(self.start, self.end + (-1 if self.downwards else 1), step)

    def texts(self) -> Iterator[str]:
        """Every value, in order."""
        return map(self.axis.text, self.positions)

    def values(self) -> list[str]:
        """Every value, in order, as a list."""
        return list(self.texts())

    def count_of(self, texts: Collection[str]) -> int:
        """How many of its values are among the texts (all different), found from the shorter side."""
        if self.count <= len(texts):
            return sum(text in texts for text in self.texts())
        return sum(self.holds(text) for text in texts)

    def holds(self, text: str) -> bool:
        """Whether the canonical text is one of its values."""
        position = self.axis.position(text, date.min)
        return position is not None and position in self.positions and self.axis.text(position) == text

    def covers(self, other: Range) -> bool:
        """Whether every value of the other range is one of this one, found without walking either."""
        own, others = self.positions, other.positions
        return (
            self.axis is other.axis
            and own[0] <= others[0]
            and others[-1] <= own[-1]
            and (others[0] - own[0]) % own.step == 0
            and (len(others) == 1 or others.step % own.step == 0)
        )

    def __str__(self) -> str:
        sign = "-" if self.downwards else ""
        by = f"/by/{sign}{self.axis.pitch_text(abs(self.pitch))}" if self.explicit else ""
        return f"{self.axis.text(self.start)}/to/{self.axis.text(self.end)}{by}"


_MICRO = 10**6


def _day(text: str, today: date) -> int | None:
    day = read_date(text, today)
    return day.toordinal() if day else None


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("-?[0-9]{1,12}", text) else None


def _decimal(text: str) -> int | None:
    number = re.fullmatch(r"[-+]?[0-9]{1,12}(\.[0-9]{1,6})?", text)
    return int(Decimal(text) * _MICRO) if number else None


def _decimal_text(position: int) -> str:
    whole = position % _MICRO == 0
    return str(position // _MICRO) if whole else f"{(Decimal(position) / _MICRO).normalize():f}"


_DAYS = Axis(_day, lambda n: date_text(date.fromordinal(n)), _whole, str, 1)
_STEPS = Axis(lambda text, _: read_step(text), step_text, read_step, step_text, 3600)
_HOURS = Axis(lambda text, _: read_hour(text), hour_text, read_hours, str, 1)
_WHOLES = Axis(lambda text, _: _whole(text), str, _whole, str, 1)
_DECIMALS = Axis(lambda text, _: _decimal(text), _decimal_text, _decimal, _decimal_text, _MICRO)

# A range without `by` is judged by the finest pitch that any back-end gives it (metkit: 12 for step, 6 for
# time): the values judged then include those delivered, whichever of them the back-end takes.
_AXES = {"date": _DAYS, "hdate": _DAYS, "step": _STEPS, "time": _HOURS, "number": _WHOLES}


@lru_cache(maxsize=128)
def _periods(length: int) -> Axis:
    """The axis of all periods of a length in seconds, by their starts: 0-6, 6-12 ..."""

    def position(text: str, _: date) -> int | None:
        ends = [read_step(end) for end in text.split("-")]
        return ends[0] if len(ends) == 2 and None not in ends and ends[1] == (ends[0] or 0) + length else None

    def text_of(start: int) -> str:
        return f"{step_text(start)}-{step_text(start + length)}"

    return Axis(position, text_of, read_step, step_text, length or 3600)


def _period_axis(text: str) -> Axis | None:
    """The axis of a step that is a period, None for one that is none."""
    first, dash, last = text.partition("-")
    start, end = read_step(first), read_step(last)
    return _periods(end - start) if dash and start is not None and end is not None and end >= start else None


def split(text: str) -> list[str]:
    """The items of `a/b/c`, without the spaces around them."""
    return [part.strip() for part in text.split("/")]


def is_range(text: str) -> bool:
    """Whether the text has the words of a range, rightly placed or not."""
    return any(word.lower() in ("to", "by") for word in split(text))


def read_range(key: str, text: str, today: date) -> Range | None:
    """The range that the text describes, in any direction and of any length; None if it describes none."""
    parts = split(text)
    if [word.lower() for word in parts[1::2]] not in (["to"], ["to", "by"]) or len(parts) not in (3, 5):
        return None
    periods = _period_axis(parts[0]) if key == "step" else None
    axis = periods or _AXES.get(key, _DECIMALS)
    start, end = axis.position(parts[0], today), axis.position(parts[2], today)
    pitch = _read_pitch(axis, parts[4]) if len(parts) == 5 else axis.default_pitch
    if start is None or end is None or pitch is None:
        return None
    # Periods without `by` follow on each other. The canonical text says so, because stores have ideas of
    # their own (metkit: 12 hours).
    return Range(axis, start, end, pitch, len(parts) == 5 or periods is not None)


def _read_pitch(axis: Axis, text: str) -> int | None:
    pitch = axis.pitch(text.removeprefix("-"))
    if pitch is None or pitch < 0:
        return None
    return -pitch if text.startswith("-") else pitch


def parse_range(key: str, text: str, today: date) -> Range:
    """The same for a text with `is_range`, refused with a RequestError unless it has an end in sight."""
    found = read_range(key, text, today)
    where = f"key '{key}': {shown(text)}"
    if found is None:
        raise RequestError(not_a_range(key, text))
    if found.pitch == 0 or (found.pitch < 0 and not found.downwards):
        raise RequestError(f"{where}: the number after 'by' must be greater than 0")
    if found.count > MAX_VALUES:
        raise RequestError(too_many(key, text, found.count))
    return found


def not_a_range(key: str, text: str) -> str:
    """The message for a text with the words of a range that `read_range` does not read."""
    where = f"key '{key}': {shown(text)}"
    words = [word.lower() for word in split(text)]
    first = words.index("to") if "to" in words[1:-1] else 0
    if first and "by" not in words[:first] and words[1::2] not in (["to"], ["to", "by"]):
        instead = "one range a/to/b or a/to/b/by/n, or single values"
        return f"{where} is a range beside other values; expected {instead}"
    ends = f", where a and b are {KINDS[key].expected}" if key in KINDS else ""
    alike = " of the same length" if key == "step" and "-" in text else ""
    return f"{where} is not a range; expected a/to/b or a/to/b/by/n{ends}{alike}"


def too_many(key: str, value: object, count: int) -> str:
    """The message for a value that describes more values than MAX_VALUES."""
    return f"key '{key}': {shown(value)} describes {count} values; at most {MAX_VALUES} are accepted"


def read_values(key: str, value: object, *, today: date | None = None) -> Range | list[str]:
    """What a value of a request or of a rule describes: a range, else every single canonical value.

    A list counts as its items joined with `/`, which is what reaches the back-end: what is judged is what
    is delivered. `value` may be coerced or not; relative dates count from `today` (default: today, UTC).
    RequestError for what has no single values (a mapping, null), what the key does not accept, and for
    more than MAX_VALUES values.
    """
    today = today or utc_today()
    text = joined(key, value)
    if is_range(text):
        return parse_range(key, text, today)
    items = split(text)
    if len(items) > MAX_VALUES:
        raise RequestError(too_many(key, text, len(items)))
    kind = KINDS.get(key, NAME)
    values = [kind.canonical(item, today) for item in items]
    wrong = [item for item, found in zip(items, values, strict=True) if found is None]
    if wrong:
        raise RequestError(
            *(f"key '{key}': {shown(item)} is not accepted; expected {kind.expected}" for item in wrong)
        )
    return [found for found in values if found is not None]


def joined(key: str, value: object) -> str:
    """The text of a scalar or of a list's items joined with `/`; RequestError for anything else."""
    items = value if isinstance(value, list | tuple) else [value]
    texts = [scalar_text(item) for item in items]
    known = [text for text in texts if text is not None]
    if not items or len(known) < len(items) or isinstance(value, Mapping):
        raise RequestError(f"key '{key}': {shown(value)} is neither a text, a number nor a list of them")
    return "/".join(known)
