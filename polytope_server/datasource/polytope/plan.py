"""From a request and its feature to fields, and points of their grids: before anything is extracted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope.archive import Archive
from polytope_server.datasource.polytope.choice import choose
from polytope_server.datasource.polytope.cube import MISSING, Cube, describe_missing, find, settled
from polytope_server.datasource.polytope.kinds import Kind, Kinds
from polytope_server.datasource.polytope.places import place_feature
from polytope_server.datasource.polytope.points import Stretch
from polytope_server.features import Feature, FeatureLimits, Trajectory
from polytope_server.grids import TooManyPointsError


@dataclass(frozen=True)
class GridPart:
    """Fields that are on one grid, and the points of it that the feature chooses."""

    cube: Cube
    kinds: Mapping[str, Kind]
    md5: str
    stretches: Sequence[Stretch]

    @property
    def values(self) -> int:
        """How many values its part of the result has."""
        return _fields_of_each(self.cube, self.stretches[0].keys) * sum(
            one.points.count for one in self.stretches
        )

    def describe_grid(self) -> dict[str, Any]:
        """Its grid, and the parameters that are on it, as JSON."""
        kinds = list(self.kinds.values())
        names = [kind.parameter.name for kind in kinds]
        return {"type": kinds[0].grid_type, "points": kinds[0].size, "parameters": names}


@dataclass(frozen=True)
class Plan:
    """What a request takes."""

    feature: Feature
    parts: Sequence[GridPart]

    @property
    def values(self) -> int:
        """How many values the result has."""
        return sum(part.values for part in self.parts)

    def estimate(self) -> dict[str, Any]:
        """How much the request asks for, as JSON: values, and the grids with their parameters."""
        return {"values": self.values, "grids": [part.describe_grid() for part in self.parts]}


def make_plan(
    archive: Archive,
    request: Mapping[str, Any],
    feature: Feature,
    kinds: Kinds,
    limits: FeatureLimits,
    judged: Collection[str] = (),
) -> Plan:
    """Find the fields of a request, and the points of its feature.

    Args:
        archive: Where the fields are.
        request: Without its feature.
        feature: What is asked for.
        kinds: What is known of the fields of the archive.
        limits: How much may be asked for.
        judged: Keys that the rules of the data source judge.

    Raises:
        DataSourceError: Fields are missing, each of which is named; there are too many values; or where the
            points of the fields are is neither in them nor in the configuration.
    """
    cube = find(
        archive, choose(archive, {**feature.implied(), **request}, feature, judged, limits.max_fields)
    )
    if not cube.locations:
        raise DataSourceError(_describe_nothing(archive, cube))
    known = _read_kinds(cube, kinds)
    parts = tuple(_divide(cube, known, feature, limits))
    plan = Plan(feature, parts)
    _check_missing(plan, cube, known)
    if plan.values > limits.max_values:
        raise DataSourceError(_too_many(plan.values, limits))
    return plan


def _describe_nothing(archive: Archive, cube: Cube) -> str:
    message = f"the archive has no field of this request: {describe_missing(cube, _short_names(cube))}"
    absent = [key for key in archive.keys_of_one(cube.selection()) if key not in cube.axes]
    return f"{message}. The request must also name: {', '.join(absent)}" if absent else message


def _read_kinds(cube: Cube, kinds: Kinds) -> dict[str, Kind]:
    """What the fields of each parameter are, as far as the archive has some."""
    keys = {key: "/".join(values) for key, values in cube.axes.items()}
    params = cube.axes.get("param", ("",))
    found = {param: cube.any_of("param", param) for param in params}
    return {
        param: kinds.read({**keys, "param": param}, location) for param, location in found.items() if location
    }


def _divide(
    cube: Cube, known: Mapping[str, Kind], feature: Feature, limits: FeatureLimits
) -> Iterator[GridPart]:
    """The parts of a cube that are on the same grid."""
    by_grid: dict[str, list[str]] = {}
    for param, kind in known.items():
        by_grid.setdefault(kind.md5, []).append(param)
    for md5, params in by_grid.items():
        grid = known[params[0]].grid
        if grid is None:
            raise DataSourceError(_describe_unknown(known[params[0]]))
        part = settled(cube.only("param", params) if "param" in cube.axes else cube)
        fields = _fields_of_each(part, feature.axes[2:] if isinstance(feature, Trajectory) else ())
        try:
            stretches = place_feature(feature, grid, part, limits.max_values // fields)
        except TooManyPointsError as error:
            raise DataSourceError(_too_many(error.points * fields, limits)) from None
        if not stretches:
            raise DataSourceError(f"key 'feature': the {feature.type} holds no point of the fields' grid")
        yield GridPart(part, {param: known[param] for param in params}, md5, stretches)


def _describe_unknown(kind: Kind) -> str:
    return (
        f"{kind.parameter.name} is on a grid of the type {kind.grid_type}: where its points are is neither "
        "in the fields nor in the configuration of this data source"
    )


def _fields_of_each(cube: Cube, apart: Mapping[str, str] | Sequence[str]) -> int:
    """How many fields there are for each combination of the values of some axes."""
    return math.prod(len(values) for key, values in cube.axes.items() if key not in apart)


def _check_missing(plan: Plan, cube: Cube, known: Mapping[str, Kind]) -> None:
    """DataSourceError with the names of the fields that the archive does not have."""
    missing = cube.fields == MISSING
    if isinstance(plan.feature, Trajectory) and missing.any():
        missing &= _find_passed(plan, cube)
    if missing.any():
        names = {param: kind.parameter.name for param, kind in known.items()}
        raise DataSourceError(describe_missing(cube, {**_short_names(cube), **names}, missing))


def _find_passed(plan: Plan, cube: Cube) -> NDArray[np.bool_]:
    """Where in a cube the fields are that a path passes: of some steps and levels it has no point."""
    passed = np.zeros(cube.fields.shape, np.bool_)
    for stretch in (stretch for part in plan.parts for stretch in part.stretches):
        place = tuple(
            values.index(stretch.keys[key]) if key in stretch.keys else slice(None)
            for key, values in cube.axes.items()
        )
        passed[place] = True
    return passed


def _short_names(cube: Cube) -> dict[str, str]:
    """What metkit calls the parameters of a cube, of which the archive may have no field."""
    return {param: tables().name_of(param) or param for param in cube.axes.get("param", ())}


def _too_many(values: int, limits: FeatureLimits) -> str:
    return f"the request describes {values} values; at most {limits.max_values} are accepted"
