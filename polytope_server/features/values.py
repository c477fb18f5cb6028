"""Values inside of a feature: numbers, points, axes, rings and ranges. What is wrong is a RequestError."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

from polytope_server.features.geometry import CrossingSearch, IntricateError, Point, Ring, ring_area
from polytope_server.language import RequestError
from polytope_server.language.errors import shown
from polytope_server.language.values import read_step

#: Other names of axes.
_AXES = {
    "lat": "latitude",
    "lon": "longitude",
    "long": "longitude",
    "lng": "longitude",
    "level": "levelist",
    "levels": "levelist",
    "levellist": "levelist",
}
PLANE: tuple[str, ...] = ("latitude", "longitude")
_NUMBER = re.compile(r"[-+]?([0-9]{1,15}\.?[0-9]{0,15}|\.[0-9]{1,15})([eE][-+]?[0-9]{1,2})?")
#: Degrees of longitude: a thousand turns, in which a number still tells millimetres.
_LONGITUDE = 360_000.0
_TURN = 360.0
#: Points of a triangle, the first of which is the last.
_SHORTEST_RING = 4
#: Square kilometres below which a ring has no inside: coordinates are not exact.
_NO_AREA = 1e-9
#: Characters that are compared with names that are known.
_LONGEST = 40


def read_number(value: object) -> float:
    """A number, or the text of one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    raise RequestError(f"{shown(value)} is not accepted; expected a number")


def read_latitude(value: object) -> float:
    """Degrees north."""
    number = read_number(value)
    if not -90 <= number <= 90:
        raise RequestError(f"latitude {shown(value)} is not accepted; expected -90 to 90")
    return number


def read_longitude(value: object) -> float:
    """Degrees east, in any turn."""
    number = read_number(value)
    if abs(number) > _LONGITUDE:
        raise RequestError(f"longitude {shown(value)} is not accepted; expected degrees, such as -180 to 360")
    return number


def read_not_negative(value: object) -> float:
    """A level or a distance."""
    number = read_number(value)
    if number < 0:
        raise RequestError(f"{shown(value)} is not accepted; expected 0 or more")
    return number


def read_hours(value: object) -> float:
    """Hours of a step, given as a number or a duration: 1.5, 1h30m."""
    seconds = read_step(value.strip()) if isinstance(value, str) else None
    return read_not_negative(value) if seconds is None else seconds / 3600


def read_radius(value: object) -> float:
    """The radius of a circle in degrees."""
    number = read_number(value)
    if not 0 < number <= 180:
        raise RequestError(f"{shown(value)} is not accepted; expected degrees, more than 0 and at most 180")
    return number


def read_word(value: object, allowed: Collection[str]) -> str:
    """One of some words, in any case."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in allowed:
        raise RequestError(f"{shown(value)} is not accepted; {suggest(word, allowed)}")
    return word


def suggest(word: str, allowed: Collection[str]) -> str:
    """What was probably meant, and else what would do."""
    near = difflib.get_close_matches(word[:_LONGEST].lower(), allowed, 1)
    return f"did you mean '{near[0]}'?" if near else f"expected {' or '.join(allowed)}"


def read_axes(value: object, *further: str) -> tuple[str, ...]:
    """Names of axes: latitude and longitude in any order, and of `further` ones those that are named."""
    items = value if isinstance(value, list | tuple) else [value]
    names = tuple(_AXES.get(str(item).strip().lower()[:_LONGEST], item) for item in items[:10])
    axes = tuple(read_word(name, (*PLANE, *further)) for name in names)
    if len(set(axes)) < len(items):
        raise RequestError(f"{shown(value)} names an axis twice; give each once")
    if not set(PLANE) <= set(axes):
        raise RequestError(f"{shown(value)} is not accepted; expected latitude and longitude among the axes")
    return axes


_READERS = {"latitude": read_latitude, "longitude": read_longitude, "step": read_hours}


def read_point(value: object, axes: Sequence[str] = PLANE) -> tuple[float, ...]:
    """The numbers of a point: latitude, longitude, then those of the other axes in their order."""
    if not isinstance(value, list | tuple) or len(value) != len(axes):
        raise RequestError(f"{shown(value)} is not accepted; expected [{', '.join(axes)}]")
    found = {
        axis: _READERS.get(axis, read_not_negative)(number) for axis, number in zip(axes, value, strict=True)
    }
    return found.pop("latitude"), found.pop("longitude"), *found.values()


def read_points(value: object, axes: Sequence[str], least: int, most: int) -> tuple[tuple[float, ...], ...]:
    """A list of points. Of those that are wrong the first few are named."""
    if not isinstance(value, list | tuple) or not value:
        raise RequestError(f"{shown(value)} is not accepted; expected a list of points [{', '.join(axes)}]")
    if not least <= len(value) <= most:
        expected = f"{least} to {most}" if least < most else f"{least}"
        raise RequestError(f"the number of points is {len(value)}; expected {expected}")
    found, problems = [], []
    for number, item in enumerate(value):
        try:
            found.append(read_point(item, axes))
        except RequestError as error:
            problems += [f"point {number + 1}: {problem}" for problem in error.problems]
    if problems:
        raise RequestError(*problems)
    return tuple(found)


def read_plane_points(value: object, axes: Sequence[str], least: int, most: int) -> tuple[Point, ...]:
    """The same where a point has a latitude and a longitude only."""
    return tuple((point[0], point[1]) for point in read_points(value, axes, least, most))


def read_polygons(value: object, axes: Sequence[str], most: int) -> tuple[tuple[Ring, ...], ...]:
    """Polygons: one ring, a list of rings, or a list of polygons, each a ring and the rings of its holes."""
    depth = _depth(value)
    polygons = {2: [[value]], 3: [[ring] for ring in _listed(value)], 4: _listed(value)}.get(depth)
    if polygons is None:
        raise RequestError(
            f"{shown(value)} is not accepted; expected a ring [[latitude, longitude], ...], a list of rings, "
            "or a list of polygons, each a list of a ring and the rings of its holes"
        )
    count = sum(len(_listed(ring)) for polygon in polygons for ring in _listed(polygon))
    if count > most:
        raise RequestError(f"the number of points of all rings is {count}; expected at most {most}")
    found, search = [], CrossingSearch()
    for number, polygon in enumerate(polygons):
        place = f"polygon {number + 1}: " if len(polygons) > 1 else ""
        try:
            found.append(_read_polygon(polygon, axes, search))
        except RequestError as error:
            raise RequestError(*(f"{place}{problem}" for problem in error.problems)) from None
    return tuple(found)


def _depth(value: object) -> int:
    """How many lists are in each other where the value begins."""
    depth = 0
    while isinstance(value, list | tuple):
        depth += 1
        value = value[0] if value else None
    return depth


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _read_polygon(value: object, axes: Sequence[str], search: CrossingSearch) -> tuple[Ring, ...]:
    rings = [_read_ring(ring, axes) for ring in _listed(value)]
    if not rings:
        raise RequestError(f"{shown(value)} is not accepted; expected a list of rings")
    try:
        crossing = search.find(rings)
    except IntricateError:
        raise RequestError("has too many edges at the same latitudes; give it fewer points") from None
    if crossing:
        one, other = (f"[{latitude:g}, {longitude:g}]" for latitude, longitude in crossing)
        raise RequestError(
            f"the edges that begin at {one} and {other} cross; expected rings that do not cross themselves "
            "or each other"
        )
    if any(ring_area(ring) < _NO_AREA for ring in rings):
        raise RequestError("a ring has no area; expected three points or more that are not on one line")
    return tuple(rings)


def _read_ring(value: object, axes: Sequence[str]) -> Ring:
    if len(_listed(value)) < _SHORTEST_RING:
        raise RequestError(
            f"{shown(value)} is not accepted; expected a ring of {_SHORTEST_RING} points or more"
        )
    ring = read_plane_points(value, axes, _SHORTEST_RING, len(_listed(value)))
    if ring[0] != ring[-1]:
        raise RequestError(f"the ring is open; expected its first point {shown(list(ring[0]))} as its last")
    longitudes = [longitude for _, longitude in ring]
    if max(longitudes) - min(longitudes) > _TURN:
        raise RequestError("the ring is more than 360 degrees wide")
    return ring


def read_corners(value: object, axes: Sequence[str]) -> tuple[tuple[float, float], ...]:
    """The least and the greatest number of each axis, latitude first, of two opposite corners."""
    one, other = read_points(value, axes, 2, 2)
    ends = tuple((min(pair), max(pair)) for pair in zip(one, other, strict=True))
    west, east = ends[1]
    if east - west > _TURN:
        raise RequestError(f"{shown(value)} is more than 360 degrees wide")
    return ends


def read_inflation(value: object, axes: Sequence[str]) -> tuple[float, ...]:
    """How far a shape reaches along each axis, given for each of them in their order, or once for all."""
    numbers = list(value) if isinstance(value, list | tuple) else [value] * len(axes)
    if len(numbers) != len(axes):
        raise RequestError(
            f"{shown(value)} is not accepted; expected one number, or one for each of {', '.join(axes)}"
        )
    found = dict(zip(axes, map(read_not_negative, numbers), strict=True))
    return found.pop("latitude"), found.pop("longitude"), *found.values()
