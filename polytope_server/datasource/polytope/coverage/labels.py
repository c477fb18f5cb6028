"""What coverages say of their fields: times, levels, members, and MARS keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from polytope_server.language.values import read_step

#: Keys that say which day a forecast starts, in the order in which they count.
_DAYS = ("hdate", "date")
#: Keys that a coverage has an axis or a range for, or that are part of the time of its forecast.
HIDDEN = frozenset({"param", "date", "hdate", "time", "year", "month"})


def number(text: str) -> int | float | str:
    """A level, a member or a step as a JSON number, where it is one."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value


def reference_time(keys: Mapping[str, str]) -> datetime | None:
    """When a forecast starts, in UTC; the first day of a month for fields of months."""
    day = next((keys[key] for key in _DAYS if keys.get(key)), "")
    if day:
        hours = keys.get("time", "") or "0000"
        return datetime.fromisoformat(day) + timedelta(hours=int(hours[:2]), minutes=int(hours[2:] or 0))
    if keys.get("year") and keys.get("month"):
        return datetime(int(keys["year"]), int(keys["month"]), 1)
    return None


def step_end(step: str) -> timedelta:
    """The step, or the end of the period that it is."""
    return timedelta(seconds=read_step(step.rpartition("-")[2]) or 0)


def is_period(step: str) -> bool:
    """Whether a step is a period such as 0-24."""
    return "-" in step


def valid_time(keys: Mapping[str, str]) -> str:
    """The time that a field is for."""
    start = reference_time(keys)
    return iso(start + step_end(keys.get("step", "") or "0")) if start else ""


def iso(moment: datetime) -> str:
    """A time in UTC, as CoverageJSON writes it."""
    return moment.isoformat() + "Z"


def metadata(keys: Mapping[str, str]) -> dict[str, Any]:
    """The MARS keys that the fields of a coverage have in common, with the start of their forecast."""
    found: dict[str, Any] = {key: value for key, value in keys.items() if value and key not in HIDDEN}
    for key in ("step", "levelist"):
        if key in found:
            found[key] = number(found[key])
    found["number"] = number(keys.get("number", "") or "0")
    start = reference_time(keys)
    if start is not None:
        found["Forecast date"] = iso(start)
    return found
