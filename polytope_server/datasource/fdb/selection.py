"""Requests for fields as every single value of every key, and the search for those that are missing.

Pure functions: what a store holds is asked through a callable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.language.ranges import Range, is_range, not_a_range, read_range, split
from polytope_server.language.values import utc_today
from polytope_server.texts import clipped

Selection = dict[str, list[str]]

MAX_NAMED = 10
"""How many missing fields, or parts of a request that are missing, an answer names."""

_MAX_LOOKS = 1000
"""How often the store is asked in order to name them."""

#: Values of a key that a text names, and its characters.
_LISTED, _LONGEST = 8, 200

_HOUR = 3600
#: The pitch that a store gives to a range without `by` (metkit: 12 hours of step, 6 of time).
_PITCHES = {"step": 12 * _HOUR, "time": 6}


def expand(request: Mapping[str, Any], max_values: int) -> Selection:
    """Every single value of each key, in order and once. DataSourceError for what cannot be expanded.

    A range of more than `max_values` values is refused before any of them exists.
    """
    return {key: _values(key, value, max_values) for key, value in request.items()}


def count_of(request: Mapping[str, Any], max_values: int) -> int:
    """How many fields a request describes, found without expanding it. DataSourceError as for `expand`."""
    return math.prod(_size(key, value, max_values) for key, value in request.items())


def _size(key: str, value: Any, max_values: int) -> int:
    text = _join(key, value)
    if is_range(text):
        return len(_positions(key, text, max_values)[1])
    return len(_single_values(key, text, max_values))


def _values(key: str, value: Any, max_values: int) -> list[str]:
    text = _join(key, value)
    if not is_range(text):
        return _single_values(key, text, max_values)
    found, positions = _positions(key, text, max_values)
    return [found.axis.text(position) for position in positions]


def _join(key: str, value: Any) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(isinstance(item, str | int | float) for item in items):
        raise DataSourceError(f"key '{key}': expected a text, a number, or a list of them")
    return "/".join(str(item) for item in items)


def _single_values(key: str, text: str, max_values: int) -> list[str]:
    values = split(text)
    if len(values) > max_values:
        raise _too_many(key, len(values), max_values)
    if not all(values):
        raise DataSourceError(f"key '{key}': a value is empty")
    return list(dict.fromkeys(values))


def _positions(key: str, text: str, max_values: int) -> tuple[Range, range]:
    """A range, and its positions as stores count them."""
    found = read_range(key, text, utc_today())
    pitch = _pitch(key, found) if found else 0
    if found is None or pitch == 0:
        raise DataSourceError(not_a_range(key, text))
    positions = found.in_order(pitch)
    if len(positions) > max_values:
        raise _too_many(key, len(positions), max_values)
    return found, positions


def _pitch(key: str, found: Range) -> int:
    return abs(found.pitch if found.explicit else _PITCHES.get(key, found.pitch))


def _too_many(key: str, count: int, most: int) -> DataSourceError:
    return DataSourceError(f"key '{key}' has {count} values; at most {most} can be asked for at once")


def count(selection: Selection) -> int:
    """How many fields a selection describes."""
    return math.prod(len(values) for values in selection.values())


@dataclass
class Found:
    """What a store holds of a selection."""

    count: int = 0
    size: int = 0
    #: The values that occur, by key.
    values: dict[str, set[str]] = field(default_factory=dict)

    def add(self, keys: Mapping[str, str], size: int) -> None:
        """Count one more field, with its keys and its length in bytes."""
        self.count += 1
        self.size += size
        for key, value in keys.items():
            self.values.setdefault(key, set()).add(value)

    def knows(self, key: str) -> bool:
        """Whether a field is filed by that key."""
        return any(self.values.get(key, ()))


def filed_keys(element: Any) -> dict[str, str]:
    """The keys of a field that the FDB lists, which has empty texts for some that it lacks."""
    return {key: value for key, value in element.combined_key().items() if value}


Filed = tuple[Mapping[str, str], int]
"""The keys of a field that a store holds, and its length in bytes."""
Look = Callable[[Selection], Found]


def listed(values: Sequence[str]) -> str:
    """Values of a key as a text of bounded length."""
    if len(values) <= _LISTED:
        return clipped("/".join(values), _LONGEST)
    some = clipped("/".join(values[: _LISTED - 1]), _LONGEST)
    return f"{some}/.../{clipped(values[-1], _LONGEST)} ({len(values)} values)"


@dataclass(frozen=True)
class Missing:
    """Fields that a store does not hold: how many, and the first parts that are missing whole."""

    count: int
    parts: list[Selection]

    @property
    def named(self) -> list[dict[str, str]]:
        """The first of the fields."""
        fields = (dict(zip(part, one, strict=True)) for part in self.parts for one in product(*part.values()))
        return list(islice(fields, MAX_NAMED))

    def __str__(self) -> str:
        names = "; ".join(
            ", ".join(f"{key}={listed(values)}" for key, values in part.items()) for part in self.parts
        )
        rest = self.count - sum(map(count, self.parts))
        return names + (f"; and {rest} more" if rest and names else "")


def missing(look: Look, selection: Selection, found: Found) -> Missing:
    """Which fields of `selection` the store that `look` asks does not hold; `found` is what it does.

    A part of which the store has as many fields as there should be is complete; one of which it has none
    is missing whole; any other is halved, and its halves looked at. Two spellings of one value
    (`2t/167`) make a selection look too large: its halves show that nothing is missing.
    """
    named: list[Selection] = []
    parts = [(selection, found)]
    total, looks = 0, 0
    while parts:
        part, there = parts.pop()
        if there.count >= count(part):
            continue
        if there.count == 0:
            total += count(part)
            _add_part(named, _name(part, selection))
            continue
        if len(named) == MAX_NAMED or looks >= _MAX_LOOKS:
            # How many is known without a further look, unless two of the values mean the same.
            total += count(part) - there.count
            continue
        looks += 2
        halves = _halves(part, there)
        parts += [(half, look(half)) for half in reversed(halves)]
    return Missing(total, named)


def _name(part: Selection, selection: Selection) -> Selection:
    """A part by the keys that tell its fields from others (by all if there is only one)."""
    several = [key for key, values in selection.items() if len(values) > 1] or list(selection)
    return {key: part[key] for key in several}


def _add_part(parts: list[Selection], new: Selection) -> None:
    """Add a part to those that are named, unless they are too many; as one with another where it goes on."""
    for n, part in enumerate(parts):
        different = [key for key in new if new[key] != part[key]]
        if len(different) == 1:
            (key,) = different
            parts[n] = {**part, key: part[key] + new[key]}
            return
    if len(parts) < MAX_NAMED:
        parts.append(new)


def _halves(part: Selection, found: Found) -> tuple[Selection, Selection]:
    """Cut along the key that lacks most values, so that a value that is missing everywhere stands alone."""

    def promise(key: str) -> tuple[int, int]:
        values = len(part[key])
        return (values - len(found.values.get(key, ())) if values > 1 else -1), values

    key = max(part, key=promise)
    middle = len(part[key]) // 2
    return {**part, key: part[key][:middle]}, {**part, key: part[key][middle:]}
