"""Reads a schedule: XML with products, as earlier servers and ECMWF's dissemination have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from polytope_server.language.errors import shown
from polytope_server.language.values import KINDS, read_step
from polytope_server.schedule import Product, Schedule

#: Those without are for something else than retrievals; earlier servers passed them over, too.
_NEEDED = ("class", "stream", "time")
_TIME_OF_DAY = re.compile("([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAYS = re.compile("[0-9]{1,4}")
_BETWEEN = re.compile(r"[/,\s]+")


def read_schedule(text: bytes) -> Schedule:
    """The schedule of an XML text. Raises ValueError with what is wrong with it."""
    try:
        root = fromstring(text)
    except ParseError as error:
        raise ValueError(f"is not XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"has entities or a document type, which are not accepted: {error}") from None
    found = [*root.findall("product"), *root.findall("mars_only/product")]
    schedule = Schedule(
        _read_product(number, keys)
        for number, keys in enumerate(map(_read_keys, found), 1)
        if all(keys.get(key) for key in _NEEDED)
    )
    if not len(schedule):
        raise ValueError("has no <product> with class, stream and time, so that nothing would be released")
    return schedule


def _read_keys(element: Element) -> dict[str, str]:
    """Tags and texts; `diss_step` and the like count where `step` is absent."""
    given = {child.tag.lower(): (child.text or "").strip() for child in element}
    return {key.removeprefix("diss_"): text for key, text in given.items() if key.startswith("diss_")} | given


def _read_product(number: int, keys: Mapping[str, str]) -> Product:
    try:
        return Product(
            classes=_read_words(keys["class"]),
            streams=_read_words(keys["stream"]),
            types=_read_words(keys.get("type", "")),
            domains=_read_words(keys.get("domain", "")),
            times=frozenset(map(_read_time, _read_words(keys["time"]))),
            step=_read_step(keys.get("step", "")),
            release=_read_release(keys.get("release_time", ""), keys.get("release_delta_day", "")),
        )
    except ValueError as error:
        raise ValueError(f"product {number}: {error}") from None


def _read_words(text: str) -> frozenset[str]:
    return frozenset(word for word in _BETWEEN.split(text.lower()) if word)


def _read_time(text: str) -> str:
    time = KINDS["time"].canonical(text, date.min)
    if time is None:
        raise ValueError(f"time {shown(text)} is not an hour of the day, such as 12:00")
    return time


def _read_step(text: str) -> int:
    step = read_step(text) if text else 0
    if step is None:
        raise ValueError(f"step {shown(text)} is not a number of hours, such as 240")
    return step


def _read_release(time: str, days: str) -> timedelta:
    clock = _TIME_OF_DAY.fullmatch(time)
    if not clock:
        raise ValueError(f"release_time {shown(time)} is not a time of day, such as 06:55:00")
    if not _DAYS.fullmatch(days or "0"):
        raise ValueError(f"release_delta_day {shown(days)} is not a number of days")
    hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    return timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds)
