"""Why an FDB has nothing at all of what a request describes."""

from __future__ import annotations

import math
from typing import Any

from polytope_server.datasource.fdb import selection
from polytope_server.datasource.fdb.grib import canonical
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.selection import Selection

#: Keys that distinguish the fields of one date, in most schemas.
_WITHIN = ("type", "levtype", "time", "step", "levelist", "number", "param")
#: Keys of which a request has one, or an FDB of many years would have to be searched.
_OF_TIME = ("date", "year")
#: The most that is looked at: an FDB reads an index for each of these choices of the other keys.
_MOST_CHOICES = 50


def absent_keys(fdb: Any, wanted: Selection) -> list[str]:
    """The keys by which a field that fits the request otherwise is known, and that the request lacks."""
    element = next(iter(fdb.list(wanted)), None)
    return [key for key in selection.filed_keys(element) if key not in wanted] if element else []


def explain(fdb: Any, wanted: Selection, known: Tables | None) -> str:
    """A sentence about the values that no field has, and those that there are; empty if none can be given.

    `known` are the parameters by their names, if they are known.
    """
    outer = {key: values for key, values in wanted.items() if key not in _WITHIN}
    if outer.keys().isdisjoint(_OF_TIME) or math.prod(map(len, outer.values())) > _MOST_CHOICES:
        return ""
    axes = fdb.axes(outer)
    offered = {key: [value for value in axes[key] if value] for key in _WITHIN if key in axes}
    if not any(offered.values()):
        named = ", ".join(f"{key}={selection.listed(values)}" for key, values in outer.items())
        return f". The archive has nothing at all of {named}"
    there = [
        f"{key}={selection.listed(sorted(offered[key], key=_by_number))}"
        for key in _WITHIN
        if offered.get(key) and key in wanted and not _meet(key, wanted[key], offered[key], known)
    ]
    return f". There it has {', '.join(there)}" if there else ""


def _meet(key: str, wanted: list[str], offered: list[str], known: Tables | None) -> bool:
    """Whether one of the values that are wanted is offered."""
    spelled = {_spell(key, value, known) for value in wanted}
    return not spelled.isdisjoint(_spell(key, value, known) for value in offered)


def _spell(key: str, value: str, known: Tables | None) -> str:
    number = known.names.get(value.lower()) if known and key == "param" else None
    return canonical(key, value) if number is None else str(number)


def _by_number(value: str) -> tuple[float, str]:
    return (float(value) if value.replace(".", "", 1).isdigit() else math.inf), value
