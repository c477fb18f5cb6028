"""The fields of a request: every combination of the values of its keys, each found in the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytope_server.datasource.fdb.selection import MAX_NAMED, Selection
from polytope_server.datasource.polytope.archive import Archive, canonical
from polytope_server.datasource.polytope.arrays import Integers
from polytope_server.datasource.polytope.jump import Location

MISSING = -1
"""Stands in a cube for a field that the archive does not have."""

#: Missing fields that are sorted for a message.
_MAX_LOOKED_AT = 1000


@dataclass(frozen=True)
class Cube:
    """Fields by the values of their keys.

    `fields` has one dimension for each of `axes`, and numbers of `locations`. `constants` are keys that all
    fields have in common.
    """

    axes: Mapping[str, Sequence[str]]
    constants: Mapping[str, str]
    fields: Integers
    locations: Sequence[Location]

    def selection(self) -> Selection:
        """What was looked for in the archive."""
        return {key: list(values) for key, values in self.axes.items()}

    def arranged(self, order: Sequence[str]) -> Cube:
        """The same with its axes in another order. One that it lacks has one value: the constant, or ""."""
        known = [key for key in order if key in self.axes]
        fields = self.fields.transpose([list(self.axes).index(key) for key in known])
        shape = [len(self.axes[key]) if key in self.axes else 1 for key in order]
        axes = {key: self.axes.get(key) or (self.constants.get(key, ""),) for key in order}
        return Cube(axes, self.constants, fields.reshape(shape), self.locations)

    def only(self, key: str, values: Sequence[str]) -> Cube:
        """The part that has these values of one axis."""
        wanted = [list(self.axes[key]).index(value) for value in values]
        fields = self.fields.take(wanted, list(self.axes).index(key))
        return Cube({**self.axes, key: tuple(values)}, self.constants, fields, self.locations)

    def any_of(self, key: str, value: str) -> Location | None:
        """A field that has this value; None if there is none."""
        fields = self.only(key, [value]).fields if key in self.axes else self.fields
        there = fields[fields != MISSING]
        return self.locations[int(there[0])] if there.size else None

    def values(self, key: str) -> Sequence[str]:
        """The values of a key, whether it is an axis or a constant."""
        return self.axes.get(key) or [self.constants[key]]


def find(archive: Archive, selection: Selection) -> Cube:
    """The fields of a selection in the archive's spelling; some may be missing."""
    axes = {key: tuple(values) for key, values in selection.items()}
    # PERF: most keys have one value, and there are thousands of fields.
    several = {
        axis: (key, {canonical(key, value): n for n, value in enumerate(values)})
        for axis, (key, values) in enumerate(axes.items())
        if len(values) > 1
    }
    shape = tuple(map(len, axes.values()))
    fields = np.full(shape, MISSING, np.int64)
    locations: list[Location] = []
    filed: set[str] = set()
    for keys, location in archive.find(selection):
        filed.update(key for key, value in keys.items() if value)
        place = [0] * len(axes)
        for axis, (key, known) in several.items():
            if keys.get(key):
                place[axis] = known.get(canonical(key, keys[key]), MISSING)
        if MISSING in place:
            continue  # Not one of those asked for: in the place of another it would have a wrong label.
        fields[tuple(place)] = len(locations)
        locations.append(location)
    # A key that the archive does not file fields by chooses none of them.
    for n, key in enumerate(axes):
        if filed and key not in filed:
            fields, axes[key] = fields.take([0], n), axes[key][:1]
    return Cube(axes, {}, fields, locations)


def settled(cube: Cube) -> Cube:
    """The cube without the axes that have one value, which all fields have in common."""
    several = {key: values for key, values in cube.axes.items() if len(values) > 1}
    constants = {key: values[0] for key, values in cube.axes.items() if len(values) == 1}
    shape = tuple(map(len, several.values()))
    return Cube(several, constants, cube.fields.reshape(shape), cube.locations)


def describe_missing(cube: Cube, names: Mapping[str, str], missing: NDArray[np.bool_] | None = None) -> str:
    """A sentence for each of the first fields that the archive lacks; `names` are those of parameters.

    The fields of one parameter that differ in their steps alone, or in the key that has most values, make one
    sentence.
    """
    places = np.argwhere(cube.fields == MISSING if missing is None else missing)
    several = [key for key, values in cube.axes.items() if len(values) > 1 and key != "param"]
    along = "step" if "step" in cube.axes else max(several, key=lambda key: len(cube.axes[key]), default="")
    groups: dict[tuple[str, ...], list[str]] = {}
    for place in places[:_MAX_LOOKED_AT]:
        keys = {key: values[n] for (key, values), n in zip(cube.axes.items(), place, strict=True)}
        param = keys.get("param", "")
        others = (f"{key} {keys[key]}" for key in several if key != along)
        groups.setdefault((names.get(param, param), *others), []).append(keys.get(along, ""))
    named = list(groups.items())[:MAX_NAMED]
    sentences = [_say_missing(along, values, *of) for of, values in named]
    rest = len(places) - sum(len(values) for _, values in named)
    return "; ".join(sentences) + (f"; and {rest} more fields" if rest else "")


def _say_missing(key: str, values: Sequence[str], param: str, *others: str) -> str:
    listed = ", ".join(values[:MAX_NAMED]) + (" ..." if len(values) > MAX_NAMED else "")
    where = "".join(f", {other}" for other in others)
    if not key:
        return f"{param}{where} is not in the archive"
    verb, plural = ("is", "") if len(values) == 1 else ("are", "s")
    return f"{key}{plural} {listed} of {param or 'the fields'}{where} {verb} not in the archive"
