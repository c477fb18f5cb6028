"""From the value of the key `feature` to a feature, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from polytope_server.features.extents import read_extent
from polytope_server.features.keys import Keys
from polytope_server.features.limits import DEFAULT_LIMITS, FeatureLimits
from polytope_server.features.model import (
    BoundingBox,
    Circle,
    Feature,
    Frame,
    Polygon,
    Position,
    TimeSeries,
    Trajectory,
    VerticalProfile,
)
from polytope_server.features.spans import level_span
from polytope_server.features.values import (
    PLANE,
    read_axes,
    read_corners,
    read_inflation,
    read_plane_points,
    read_points,
    read_polygons,
    read_radius,
    read_word,
    suggest,
)
from polytope_server.language import RequestError
from polytope_server.language.errors import shown

TIME_AXES = ("step", "date", "month", "year", "hdate")
"""Keys of a request that a time series may run along."""
PATH_AXES = (*PLANE, "levelist", "step")
"""Axes of a trajectory that names none."""
#: Degrees, levels and hours, where a trajectory does not say.
_INFLATION = 1.0
_NOT_SERVED = {
    "shapefile": "would be read from the disk of this server; give its rings as a polygon",
    "wkt": "is a text of another language; give its rings as a polygon",
    "path": "is called trajectory, and has inflation instead of a radius",
}


def read_feature(value: object, limits: FeatureLimits = DEFAULT_LIMITS) -> Feature:
    """The feature that the value of the key `feature` describes.

    Raises RequestError with all problems, each of which says what would do.
    """
    try:
        return _read_feature(value, limits)
    except RequestError as error:
        raise RequestError(*(f"feature: {problem}" for problem in error.problems)) from None


def _read_feature(value: object, limits: FeatureLimits) -> Feature:
    if not isinstance(value, Mapping):
        raise RequestError(f'{shown(value)} is not accepted; expected keys, such as {{"type": "timeseries"}}')
    keys = Keys(value)
    kind = keys.require("type", _read_type)
    if kind is None:
        keys.raise_problems()
    feature = _READERS[kind](keys, limits)
    if limits.max_area is not None and feature.area > limits.max_area:
        raise RequestError(
            f"covers about {feature.area:,.0f} square kilometres; at most {limits.max_area:,.0f} are accepted"
        )
    return feature


def _read_type(value: object) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _NOT_SERVED:
        raise RequestError(f"'{word}' is not served: it {_NOT_SERVED[word]}")
    if word not in _READERS:
        raise RequestError(f"{shown(value)} is no feature; {suggest(word, list(_READERS))}")
    return word


def _read_position(keys: Keys, limits: FeatureLimits) -> Position:
    axes = keys.take("axes", read_axes, PLANE, "axis") or PLANE
    points = _require_points(keys, axes, limits)
    keys.end()
    return Position(points)


def _require_points(
    keys: Keys, axes: tuple[str, ...], limits: FeatureLimits
) -> tuple[tuple[float, float], ...]:
    read = partial(read_plane_points, axes=axes, least=1, most=limits.max_points)
    return keys.require("points", read)


def _read_time_series(keys: Keys, limits: FeatureLimits) -> TimeSeries:
    time_axis = keys.take("time_axis", _read_time_axis, "", "axis")
    axes, named = keys.take("axes", _read_series_axes, (PLANE, "")) or (PLANE, "")
    if time_axis and named and time_axis != named:
        keys.complain(f"keys 'time_axis' and 'axes' name two axes of time, {time_axis} and {named}; give one")
    axis = time_axis or named or TIME_AXES[0]
    points = _require_points(keys, axes, limits)
    extent = keys.take("range", partial(read_extent, axis=axis), None)
    keys.end()
    return TimeSeries(points, axis, extent)


def _read_time_axis(value: object) -> str:
    one = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return read_word(one, TIME_AXES)


def _read_series_axes(value: object) -> tuple[tuple[str, ...], str]:
    """Axes of the points, or the axis of time, which some name here instead."""
    one = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if isinstance(one, str):
        return PLANE, read_word(one, TIME_AXES)
    return read_axes(value), ""


def _read_vertical_profile(keys: Keys, limits: FeatureLimits) -> VerticalProfile:
    axes = keys.take("axes", _read_profile_axes, PLANE, "axis") or PLANE
    points = _require_points(keys, axes, limits)
    extent = keys.take("range", partial(read_extent, axis="levelist"), None)
    keys.end()
    return VerticalProfile(points, extent)


def _read_profile_axes(value: object) -> tuple[str, ...]:
    """Axes of the points: levels need not be named, and may be named alone."""
    one = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    named = [*PLANE, one] if isinstance(one, str) else one
    return tuple(axis for axis in read_axes(named, "levelist") if axis in PLANE)


def _read_box(keys: Keys, limits: FeatureLimits) -> BoundingBox:
    axes = keys.take("axes", _read_level_axes, PLANE) or PLANE
    ends = keys.require("points", partial(read_corners, axes=axes))
    keys.end()
    (south, north), (west, east), *levels = ends
    return BoundingBox(south, west, north, east, level_span(*levels[0]) if levels else None)


def _read_level_axes(value: object) -> tuple[str, ...]:
    return read_axes(value, "levelist")


def _read_polygon(keys: Keys, limits: FeatureLimits) -> Polygon:
    axes = keys.take("axes", read_axes, PLANE) or PLANE
    polygons = keys.require("shape", partial(read_polygons, axes=axes, most=limits.max_points))
    keys.end()
    return Polygon(polygons)


def _read_circle(keys: Keys, limits: FeatureLimits) -> Circle:
    axes = keys.take("axes", _read_level_axes, PLANE) or PLANE
    center = keys.require("center", partial(_read_center, axes=axes))
    radius = keys.require("radius", read_radius)
    keys.end()
    latitude, longitude, *level = center
    return Circle((latitude, longitude), radius, level_span(level[0], level[0]) if level else None)


def _read_center(value: object, axes: tuple[str, ...]) -> tuple[float, ...]:
    flat = isinstance(value, list | tuple) and bool(value) and not isinstance(value[0], list | tuple)
    return read_points([value] if flat else value, axes, 1, 1)[0]


def _read_frame(keys: Keys, limits: FeatureLimits) -> Frame:
    axes = keys.take("axes", read_axes, PLANE) or PLANE
    outer = keys.require("outer_box", partial(_read_plane_box, axes=axes))
    inner = keys.require("inner_box", partial(_read_plane_box, axes=axes))
    if outer and inner and not _holds(outer, inner):
        keys.complain("key 'inner_box': is not inside of 'outer_box'; expected a smaller box in it")
    keys.end()
    return Frame(outer, inner)


def _read_plane_box(value: object, axes: tuple[str, ...]) -> BoundingBox:
    (south, north), (west, east) = read_corners(value, axes)
    return BoundingBox(south, west, north, east)


def _holds(outer: BoundingBox, inner: BoundingBox) -> bool:
    return (
        outer.south <= inner.south
        and inner.north <= outer.north
        and outer.west <= inner.west
        and inner.east <= outer.east
    )


def _read_trajectory(keys: Keys, limits: FeatureLimits) -> Trajectory:
    axes = keys.take("axes", _read_path_axes, PATH_AXES, "axis") or PATH_AXES
    points = keys.require("points", partial(read_points, axes=axes, least=2, most=limits.max_points))
    default = (_INFLATION,) * len(axes)
    inflation = keys.take("inflation", partial(read_inflation, axes=axes), default, "padding")
    inflate = keys.take("inflate", _read_inflate, "round")
    keys.end()
    further = tuple(axis for axis in axes if axis not in PLANE)
    return Trajectory(points, (*PLANE, *further), inflation, "box" if inflate == "box" else "round")


def _read_path_axes(value: object) -> tuple[str, ...]:
    return read_axes(value, *PATH_AXES[2:])


def _read_inflate(value: object) -> str:
    return read_word(value, ("round", "box"))


_READERS: dict[str, Callable[[Keys, FeatureLimits], Feature]] = {
    "timeseries": _read_time_series,
    "verticalprofile": _read_vertical_profile,
    "boundingbox": _read_box,
    "polygon": _read_polygon,
    "circle": _read_circle,
    "position": _read_position,
    "trajectory": _read_trajectory,
    "frame": _read_frame,
}
FEATURE_TYPES = tuple(_READERS)
"""The types of features that are served."""
