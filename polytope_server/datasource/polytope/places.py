"""Which points of a grid a feature chooses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.polytope.arrays import Integers
from polytope_server.datasource.polytope.coverage.labels import step_end
from polytope_server.datasource.polytope.cube import Cube
from polytope_server.datasource.polytope.points import Covered, Listed, Stretch
from polytope_server.features import (
    BoundingBox,
    Circle,
    Feature,
    Frame,
    Polygon,
    Trajectory,
)
from polytope_server.features import Points as PointsFeature
from polytope_server.grids import Ranges, RowGrid

#: Combinations of steps and levels at which a path is cut.
_MAX_CUTS = 100_000


def place_feature(feature: Feature, grid: RowGrid, cube: Cube, at_most: int) -> list[Stretch]:
    """The points of a feature. An area, and each step and level of a path, may have `at_most`.

    An empty list if it holds none. DataSourceError for points that are outside of the grid;
    TooManyPointsError of the grid.
    """
    if isinstance(feature, PointsFeature):
        return [Stretch({}, Listed(grid, _find_nearest(feature, grid)))]
    if isinstance(feature, Trajectory):
        return _cut_path(feature, grid, cube, at_most)
    ranges = _AREAS[type(feature)](grid, feature, at_most)
    return [Stretch({}, Covered(grid, ranges))] if len(ranges) else []


def _find_nearest(feature: PointsFeature, grid: RowGrid) -> Integers:
    latitudes, longitudes = np.array(feature.points, float).reshape(-1, 2).T
    outside = np.flatnonzero(~grid.covers(latitudes, longitudes))
    if len(outside):
        where = ", ".join(str(list(feature.points[n])) for n in outside[:5]) + (
            " ..." if len(outside) > 5 else ""
        )
        raise DataSourceError(f"key 'feature.points': {where} is outside of the area of the fields")
    return grid.nearest(latitudes, longitudes)


def _box(box: BoundingBox) -> tuple[float, float, float, float]:
    return box.south, box.west, box.north, box.east


_AREAS: Mapping[type[Feature], Callable[[RowGrid, Any, int], Ranges]] = {
    BoundingBox: lambda grid, box, most: grid.inside_box(_box(box), most),
    Polygon: lambda grid, area, most: grid.inside_polygons(area.polygons, most),
    Circle: lambda grid, area, most: grid.inside_circle(area.center, area.radius, most),
    Frame: lambda grid, area, most: grid.inside_frame(_box(area.outer), _box(area.inner), most),
}


def _cut_path(path: Trajectory, grid: RowGrid, cube: Cube, at_most: int) -> list[Stretch]:
    """The points of a path at each step and level that the fields have."""
    axes = path.axes[2:]
    values = [cube.values(axis) for axis in axes]
    if (cuts := math.prod(map(len, values))) > _MAX_CUTS:
        raise DataSourceError(
            f"the path crosses {cuts} combinations of steps and levels; at most {_MAX_CUTS} are accepted"
        )
    found = []
    for chosen in product(*values):
        keys = dict(zip(axes, chosen, strict=True))
        ranges = _cover(path, grid, [_coordinate(*item) for item in keys.items()], at_most)
        if len(ranges):
            found.append(Stretch(keys, Covered(grid, ranges)))
    return found


def _cover(path: Trajectory, grid: RowGrid, at: Sequence[float], at_most: int) -> Ranges:
    if path.inflate == "round":
        return grid.inside_round_path(path.points, path.inflation, at, at_most)
    # As the published library has it, the box begins at the point.
    return grid.inside_box_path(path.points, [0.0] * len(path.axes), path.inflation, at, at_most)


def _coordinate(axis: str, value: str) -> float:
    return step_end(value).total_seconds() / 3600 if axis == "step" else float(value)
