"""What a request wants to have made of the fields: read and checked as a whole, without MIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.keys import AS_STORED, is_off
from polytope_server.datasource.fdb.postprocess import values
from polytope_server.datasource.fdb.postprocess.grids import Grid, read_gaussian_number, read_grid
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.ranges import joined

#: Keys that make another representation of what is there; each has a meaning only together with `grid`.
_WITH_GRID = ("interpolation", "intgrid", "rotation")
#: Keys that say how spherical harmonics are brought to a grid: with `grid` no value of theirs is idle.
_TRANSFORMING = ("intgrid", "resol", "truncation")
SERVED = frozenset({*values.WRITERS, "gaussian", "resol"})
"""The keys of MARS that are served."""


@dataclass(frozen=True)
class Recipe:
    """What MIR is to do with each field: its options, and their values."""

    options: Mapping[str, str] = field(default_factory=dict)
    #: Keys of the request, with their values, that ask for what is there.
    idle: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.options)

    def __contains__(self, option: str) -> bool:
        return option in self.options

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.options.items())


def read_recipe(request: Mapping[str, Any], max_points: int) -> Recipe:
    """What a request wants. Raises DataSourceError with everything that is wrong.

    `max_points` are the most points that one field may have then.
    """
    given = {
        key: joined(key, value).strip()
        for key, value in request.items()
        if key in SERVED and not is_off(value)
    }
    reading = _Reading(given, max_points)
    if reading.problems:
        raise DataSourceError(str(RequestError(*reading.problems)))
    idle = {key: value for key, value in given.items() if key in reading.idle}
    return Recipe(reading.options, idle)


class _Reading:
    """Reads the keys of one request, and gathers what is wrong with them."""

    def __init__(self, given: dict[str, str], max_points: int) -> None:
        self.idle = _find_idle(given)
        self._given = {key: text for key, text in given.items() if key not in self.idle}
        self.options: dict[str, str] = {}
        self.problems: list[str] = []
        if "resol" in given and (newer := [key for key in ("truncation", "intgrid") if key in given]):
            self.problems.append(f"key 'resol' says the same as '{newer[0]}'; name one of them")
        self._read_resolution()
        self._read_number_of_grid()
        for key, text in self._given.items():
            self._read(key, text)
        if not self.problems:
            self.problems += self._describe_misfits(max_points)

    def _read(self, key: str, text: str) -> None:
        try:
            self.options[key] = values.WRITERS[key](text)
        except ValueError as error:
            self._refuse(key, text, error)

    def _refuse(self, key: str, text: str, error: ValueError) -> None:
        self.problems.append(f"key '{key}': {shown(text)} is not accepted; {error}")

    def _read_resolution(self) -> None:
        text = self._given.pop("resol", None)
        if text is None:
            return
        try:
            meant = values.write_resolution(text)
        except ValueError as error:
            self._refuse("resol", text, error)
            return
        if meant is None:
            self.idle.add("resol")
        else:
            self._given[meant[0]] = meant[1]

    def _read_number_of_grid(self) -> None:
        """Replace a grid that is a mere number by its name, which depends on the key `gaussian`."""
        kind = self._given.pop("gaussian", None)
        text = self._given.get("grid", "")
        is_number = text.isascii() and text.isdigit() and text != "1"
        if kind is not None and (kind.lower() not in ("regular", "reduced") or not is_number):
            expected = ValueError("expected regular or reduced, with a grid that is a number such as 160")
            self._refuse("gaussian", kind, expected)
        elif is_number:
            try:
                self._given["grid"] = read_gaussian_number(text, (kind or "regular").lower()).name
                return
            except ValueError as error:
                self._refuse("grid", text, error)
        if is_number:
            del self._given["grid"]

    def _describe_misfits(self, max_points: int) -> Iterator[str]:
        """What is wrong with keys together, each of which is good."""
        if "grid" not in self.options:
            yield from (f"key '{key}' needs a key 'grid'" for key in _WITH_GRID if key in self.options)
            return
        grid = read_grid(self.options["grid"])
        if self.options.get("packing") == "complex":
            yield "key 'packing': 'complex' is for spherical harmonics, and 'grid' is asked for"
        if grid.is_healpix:
            cut = (key for key in ("area", "rotation", "frame") if key in self.options)
            yield from (f"key '{key}' is not served for the grid {grid.name}; leave it out" for key in cut)
        yield from self._describe_size(grid, max_points)

    def _describe_size(self, grid: Grid, max_points: int) -> Iterator[str]:
        area = self.options.get("area")
        points = grid.points_in(values.read_area(area) if area else None)
        if points > max_points:
            yield (
                f"key 'grid': {shown(grid.name)} makes about {points} points of a field; at most "
                f"{max_points} are made: choose a coarser grid, or a smaller area"
            )


def _find_idle(given: Mapping[str, str]) -> set[str]:
    """The keys that ask for what is stored."""
    found = {key for key, text in given.items() if text.lower() in AS_STORED.get(key, ())}
    return found.difference(_TRANSFORMING) if "grid" in given and "grid" not in found else found
