"""Single values: what each key accepts, and the one spelling that it is brought to.

A kind turns the text of one value into its canonical text, or into None when it is not acceptable. All
spellings of a value lead to one canonical text, which is what makes a subset match a comparison of texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True)
class Kind:
    """How one key's values are read: `canonical(text, today)` is the canonical text, None if refused."""

    canonical: Callable[[str, date], str | None]
    expected: str


def utc_today() -> date:
    """Today in UTC, the day that relative dates count from."""
    return datetime.now(UTC).date()


def scalar_text(value: object) -> str | None:
    """The text of one plain value; None for what is not one (mapping, list, null, NaN, ...).

    A float without a fraction reads as a whole number, for clients whose JSON knows only floats.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        # Python refuses to print integers of thousands of digits; no key has a use for them.
        return str(value) if abs(value) < 10**18 else None
    if isinstance(value, date):  # a datetime is one too; the configuration's YAML loader makes both
        return str(value)
    return value.strip() if isinstance(value, str) else None


_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})([T ]00:00(:00(\.0+)?)?(Z|\+00:00)?)?")
_DAY_OF_YEAR = re.compile(r"([0-9]{4})-([0-9]{3})")
_RELATIVE_DATE = re.compile(r"-?0|-[0-9]{1,6}")


def read_date(text: str, today: date) -> date | None:
    """A day from YYYYMMDD, YYYY-DDD, ISO (a time of midnight is tolerated) or an offset <= 0 from today."""
    try:
        if is_relative(text):
            return today + timedelta(days=int(text))
        if in_year := _DAY_OF_YEAR.fullmatch(text):
            return _day_of_year(int(in_year[1]), int(in_year[2]))
        iso = _ISO_DATE.fullmatch(text)
        return date.fromisoformat(iso[1]) if iso else None
    except (ValueError, OverflowError):  # no such day in the calendar
        return None


def is_relative(text: str) -> bool:
    """Whether the text of a day counts from today."""
    return _RELATIVE_DATE.fullmatch(text) is not None


def _day_of_year(year: int, number: int) -> date | None:
    day = date(year, 1, 1) + timedelta(days=number - 1)
    return day if day.year == year else None


def date_text(day: date) -> str:
    """YYYYMMDD, also for years before 1000, which strftime does not pad."""
    return day.isoformat().replace("-", "")


def _date(text: str, today: date) -> str | None:
    day = read_date(text, today)
    return date_text(day) if day else None


_STEP = re.compile(
    r"(?:([0-9]{1,12})d)?(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?", re.IGNORECASE
)


def read_step(text: str) -> int | None:
    """Seconds of a step: whole hours (`12`) or with units (`1d`, `1h30m`, `30s`); None if it is not one."""
    units = _STEP.fullmatch(text + "h" if text.isdigit() else text)
    if not units or not text:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in units.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def step_text(seconds: int) -> str:
    """The canonical step: a plain number for whole hours, else `1h30m`, `30m`, `15s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if not minutes and not rest:
        return str(hours)
    return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n)


def _step(text: str, today: date) -> str | None:
    ends = [read_step(end) for end in text.split("-")]
    if len(ends) > 2 or any(end is None for end in ends):
        return None
    known = [end for end in ends if end is not None]
    return "-".join(step_text(end) for end in known) if known[0] <= known[-1] else None


_TIME = re.compile(r"([0-9]{1,2})(:?00){0,2}")


def read_hour(text: str) -> int | None:
    """The hour of H, HH, HHMM or HH:MM (also with seconds); minutes and seconds must be 00."""
    hour = _TIME.fullmatch(text)
    return int(hour[1]) if hour and int(hour[1]) < 24 else None


_HOURS = re.compile("([0-9]{1,2})h?", re.IGNORECASE)
_HHMM = re.compile("([0-9]{1,2}):?00(?::00)?")


def read_hours(text: str) -> int | None:
    """Hours between two times: `6`, `6h`, or as a time is written (`0600`, `06:00`), less than a day."""
    hours = _HOURS.fullmatch(text) or _HHMM.fullmatch(text)
    return int(hours[1]) if hours and int(hours[1]) < 24 else None


def hour_text(hour: int) -> str:
    """HHMM."""
    return f"{hour:02}00"


def _time(text: str, today: date) -> str | None:
    hour = read_hour(text)
    return None if hour is None else hour_text(hour)


def _number(text: str, today: date) -> str | None:
    return str(int(text)) if re.fullmatch("[0-9]{1,9}", text) else None


def _member(text: str, today: date) -> str | None:
    number = _number(text, today)
    return None if number == "0" else number


def _expver(text: str, today: date) -> str | None:
    if re.fullmatch("[0-9]{1,4}", text):
        return text.zfill(4)
    return text if re.fullmatch("[A-Za-z0-9]{4}", text) else None


def _name(text: str, today: date) -> str | None:
    return text or None


def _lower(text: str, today: date) -> str | None:
    return text.lower() or None


NUMBER = Kind(_number, "a whole number, 0 or more")
MEMBER = Kind(_member, "a whole number, 1 or more")
NAME = Kind(_name, "a name")
_LOWER = Kind(_lower, "a name")

KINDS = {
    "date": Kind(_date, "YYYYMMDD, YYYY-MM-DD, YYYY-DDD, or days relative to today (0, -1, ...)"),
    "step": Kind(_step, "hours (12), a duration (30m, 1h30m, 2d) or a period (0-24)"),
    "time": Kind(_time, "an hour of the day as H, HH, HHMM or HH:MM, with minutes 00"),
    "number": NUMBER,
    "expver": Kind(_expver, "a number from 0 to 9999 or four letters and digits"),
    "param": NAME,
    "model": _LOWER,
    "experiment": _LOWER,
    "activity": _LOWER,
    "timespan": NAME,
}
"""The keys that are coerced. `number` may be 0 here; see :attr:`CoercionRules.number_allow_zero`."""

_CASELESS_KEYS = frozenset(
    {"class", "stream", "type", "levtype", "domain", "model", "experiment", "activity"}
)


def folded(key: str, text: str) -> str:
    """What is the same for all spellings of a value that MARS takes for the same, in capitals or not."""
    return text.lower() if key in _CASELESS_KEYS else text
