"""When data are released: products that become public at a time of day after their date.

All times are UTC. A request is judged when it is submitted: what is released then stays released, so it need
not be judged again when it runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

from polytope_server.language import RequestError
from polytope_server.language.errors import shown
from polytope_server.language.ranges import Range, read_values
from polytope_server.language.values import date_text, read_step, step_text

_DOMAIN = "g"
"""The domain of a request that names none."""
_NEEDED = ("class", "stream", "type", "date")
_LATE = float("inf")


@dataclass(frozen=True)
class Product:
    """What is released together. Empty `domains` or `types` stand for all; `step` is in seconds."""

    classes: frozenset[str]
    streams: frozenset[str]
    types: frozenset[str]
    domains: frozenset[str]
    times: frozenset[str]
    step: int
    #: From the midnight of the date on.
    release: timedelta

    def holds(self, domain: str, type_: str) -> bool:
        """Whether it is of that domain and type."""
        return (not self.domains or domain in self.domains) and (not self.types or type_ in self.types)


class Schedule:
    """The products of a schedule, and which requests they hold back."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._products: dict[tuple[str, str], dict[str, list[Product]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for one in products:
            for class_, stream, time in product(one.classes, one.streams, one.times):
                self._products[class_, stream][time].append(one)

    def __len__(self) -> int:
        """How many there are, each for every class, stream and time that it names."""
        return sum(len(found) for times in self._products.values() for found in times.values())

    def embargo(self, request: Mapping[str, Any], now: datetime) -> str | None:
        """Why a coerced request is held back, in a sentence; None if all that it asks for is released.

        A step belongs to the product with the largest step up to it. A request without `step` or `time` asks
        for all of them. What is in no product is not released.
        """
        if absent := [key for key in _NEEDED if key not in request]:
            keys = " and ".join(f"'{key}'" for key in absent)
            return f"request does not contain key {keys}, by which the schedule says what is released"
        try:
            return self._find_embargo(request, now.astimezone(UTC))
        except RequestError as error:
            return str(error)

    def _find_embargo(self, request: Mapping[str, Any], now: datetime) -> str | None:
        day = _latest_day(request["date"])
        steps = _read_steps(request["step"]) if "step" in request else None
        latest: tuple[datetime, str] | None = None
        for label, found in self._find_products(request):
            due = _latest_release(found, steps)
            if due is None:
                return f"{label} is not in the schedule of releases{_name_step(steps)}"
            released = _add(day, due)
            if released is None or (now < released and (latest is None or released > latest[0])):
                latest = (released or datetime.max.replace(tzinfo=UTC), label)
        if latest is None:
            return None
        when, label = latest
        return (
            f"{label} of {date_text(day)}{_name_step(steps)} is not released before "
            f"{when:%Y-%m-%d %H:%M:%S} UTC"
        )

    def _find_products(self, request: Mapping[str, Any]) -> Iterator[tuple[str, list[Product]]]:
        """For each combination of values that the request asks for, what it is called, and its products."""
        words = [_read_words(key, request.get(key, _DOMAIN)) for key in ("class", "stream", "domain", "type")]
        for class_, stream, domain, type_ in product(*words):
            known = self._products.get((class_, stream), {})
            times = _read_words("time", request["time"]) if "time" in request else sorted(known)
            label = (
                f"class {shown(class_)}, stream {shown(stream)}, domain {shown(domain)}, type {shown(type_)}"
            )
            if not times:
                yield label, []
            for time in times:
                found = [one for one in known.get(time, ()) if one.holds(domain, type_)]
                yield f"{label}, time {shown(time)}", found


def _read_words(key: str, value: Any) -> list[str]:
    found = read_values(key, value)
    texts = found.values() if isinstance(found, Range) else found
    return [text.lower() for text in texts]


def _latest_day(value: Any) -> date:
    found = read_values("date", value)
    if isinstance(found, Range):
        return date.fromordinal(found.positions[-1])
    return date.fromisoformat(max(found))


def _read_steps(value: Any) -> Sequence[int]:
    """Seconds of all steps, ascending; of a period, of its end."""
    found = read_values("step", value)
    if isinstance(found, Range):
        positions = found.positions
        length = _end_of(found.axis.text(found.start)) - found.start
        return range(positions[0] + length, positions[-1] + length + 1, positions.step)
    return sorted(map(_end_of, found))


def _end_of(step: str) -> int:
    seconds = read_step(step.rpartition("-")[2])
    if seconds is None:
        raise RequestError(f"key 'step': {shown(step)} is not accepted")
    return seconds


def _latest_release(products: Sequence[Product], steps: Sequence[int] | None) -> timedelta | None:
    """When all of these steps are released, None if some of them are in no product."""
    releases: dict[int, timedelta] = {}
    for one in products:
        releases[one.step] = max(one.release, releases.get(one.step, one.release))
    starts = sorted(releases)
    if not starts or (steps is not None and steps[0] < starts[0]):
        return None
    ends = [*starts[1:], _LATE]
    return max(
        releases[start]
        for start, end in zip(starts, ends, strict=True)
        if steps is None or _has_between(steps, start, end)
    )


def _has_between(steps: Sequence[int], start: int, end: float) -> bool:
    place = bisect_left(steps, start)
    return place < len(steps) and steps[place] < end


def _add(day: date, release: timedelta) -> datetime | None:
    """The moment of a release, None beyond the calendar."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + release
    except OverflowError:
        return None


def _name_step(steps: Sequence[int] | None) -> str:
    return f" at step {step_text(steps[-1])}" if steps else ""
