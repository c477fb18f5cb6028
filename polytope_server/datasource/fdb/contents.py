"""What an FDB has, key by key: for the description of a collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from polytope_server.datasource import Answer

#: Values, or ranges of them, of one key that are named.
_MOST = 50
#: Keys of time, of which the newest values are looked into.
_OF_TIME = ("date", "year")
_NEWEST = 10
#: Levels of an FDB's schema: the keys that name its folders, and all keys.
_OUTER, _ALL = 1, 3
#: Values that make a range at least.
_SHORTEST_RANGE = 4
#: Keys whose values are numbers with an order.
_ORDERED = frozenset({"step", "number", "levelist", "date"})
#: Seconds for which the answer is kept.
_KEPT = 300.0


def answer(fdb: Any, fixed: dict[str, list[str]]) -> Answer:
    """The values that each key has among the fields with the `fixed` ones.

    Where these name no date, the other keys are those of the newest dates: an FDB of many years would have to
    read an index for each of its dates. The dates themselves are in the names of its folders.
    """
    outer = dict(fdb.axes(fixed, _OUTER).items())
    dates = {key: sorted(outer[key]) for key in _OF_TIME if key in outer and key not in fixed}
    newest = {key: values[-_NEWEST:] for key, values in dates.items()}
    axes = {**dict(fdb.axes({**fixed, **newest}, _ALL).items()), **dates}
    found = {key: _describe(key, values) for key, values in axes.items()}
    return Answer({key: values for key, values in found.items() if values["count"]}, _KEPT)


def _describe(key: str, values: Iterable[str]) -> dict[str, Any]:
    known = [value for value in values if value]
    named = _name_values(key, known)
    return {"count": len(known), "values": named[:_MOST]}


def _name_values(key: str, values: Sequence[str]) -> list[str]:
    """The values in order; those of equal distance as one range."""
    if key not in _ORDERED or not all(value.isdecimal() for value in values):
        return sorted(values)
    read = _read_date if key == "date" else int
    try:
        numbers = sorted(map(read, values))
    except ValueError:
        return sorted(values)
    write = _write_date if key == "date" else str
    named: list[str] = []
    for run in _equal_distances(numbers):
        if len(run) < _SHORTEST_RANGE:
            named += map(write, run)
        else:
            named.append(f"{write(run[0])}/to/{write(run[-1])}/by/{run[1] - run[0]}")
    return named


def _equal_distances(numbers: Sequence[int]) -> Iterable[list[int]]:
    """The numbers, cut where the distance between them changes."""
    run = list(numbers[:1])
    for before, number in pairwise(numbers):
        if len(run) > 1 and number - before != run[1] - run[0]:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _read_date(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def _write_date(ordinal: int) -> str:
    return (date.min + timedelta(ordinal - 1)).strftime("%Y%m%d")
