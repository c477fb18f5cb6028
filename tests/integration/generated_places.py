"""Features at random places of a grid, and the points that they choose, found by looking at every point.

Nothing here is of the server: the coordinates are those that ecCodes gives for each point of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from feature_fields import LEVELS, MEMBERS, STEPS, coordinates, nearest

#: Of the local grid, a box in which features may have their middles; of the others the whole Earth.
_MIDDLES = {"local": ((40, 50), (-8, 18))}
_EVERYWHERE = ((-60, 60), (-360, 540))
#: Where points may be: everywhere, at the poles and on both sides of the date line and of Greenwich, too.
_EDGES = [[90.0, 0.0], [-90.0, 33.0], [-17.7, 179.95], [-17.7, -179.9], [10.0, 719.97], [51.5, -0.1]]
POINTS = 24
#: Stands for each step and level.
_ANY = ("", "")

Inside = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Placed:
    """A feature, the keys of its fields, and the points that it chooses.

    `indices` are those of the grid's points, of a path by the step and the level of the fields.
    """

    feature: dict[str, Any]
    indices: dict[tuple[str, str], list[int]]
    keys: dict[str, str] = field(default_factory=dict)

    def indices_by_step_and_level(
        self, steps: Iterable[str], levels: Iterable[str]
    ) -> Iterator[tuple[tuple[str, str], list[int]]]:
        """The points at each step and level."""
        for at in product(steps, levels):
            yield at, self.indices.get(at, self.indices.get(_ANY, []))


class Places:
    """Makes features on one grid, the same ones each time."""

    def __init__(self, grid: str) -> None:
        self._grid = grid
        self._latitudes, self._longitudes = coordinates(grid)
        self._random = np.random.default_rng(2026)

    def make(self, kind: str) -> Placed:
        """A feature of a kind, somewhere on the grid."""
        placed: Placed = getattr(self, f"_make_{kind}")()
        return placed

    def _make_timeseries(self) -> Placed:
        return self._at_points("timeseries", {"time_axis": "step", "range": {"start": 0, "end": 24}})

    def _make_position(self) -> Placed:
        members = {"stream": "enfo", "type": "pf", "number": "/".join(MEMBERS), "step": "/".join(STEPS[:2])}
        return self._at_points("position", {}, **members)

    def _make_verticalprofile(self) -> Placed:
        levels = {"levtype": "pl", "levelist": "/".join(LEVELS), "step": "6"}
        return self._at_points("verticalprofile", {"axes": "levelist"}, **levels)

    def _make_boundingbox(self) -> Placed:
        south, west, north, east = self._draw_box(12, 20)
        feature = {"type": "boundingbox", "points": [[north, west], [south, east]]}
        return self._of_area(feature, _in_box(south, west, north, east))

    def _make_frame(self) -> Placed:
        south, west, north, east = self._draw_box(12, 20)
        inner = (south + 4.1, west + 5.2, north - 3.3, east - 6.4)
        feature = {"type": "frame", "outer_box": [[south, west], [north, east]]}
        feature["inner_box"] = [[inner[0], inner[1]], [inner[2], inner[3]]]
        outside, inside = _in_box(south, west, north, east), _in_box(*inner)
        return self._of_area(feature, lambda lats, lons: outside(lats, lons) & ~inside(lats, lons))

    def _make_polygon(self) -> Placed:
        """A ring, or one with a hole."""
        ring = self._draw_ring(*self._draw_middle(), 12)
        closed = [*ring, ring[0]]
        if self._random.random() < 0.5:
            feature = {"type": "polygon", "shape": closed}
            return self._of_area(feature, lambda lats, lons: _in_ring(ring, lats, lons))
        hole = [[(a + b) / 2 for a, b in zip(corner, _middle(ring), strict=True)] for corner in ring]

        def inside(lats: Any, lons: Any) -> Any:
            return _in_ring(ring, lats, lons) & ~_in_ring(hole, lats, lons)

        return self._of_area({"type": "polygon", "shape": [[closed, [*hole, hole[0]]]]}, inside)

    def _make_circle(self) -> Placed:
        north, east = self._draw_middle()
        feature = {"type": "circle", "center": [[north, east]], "radius": 9.7}
        return self._of_area(feature, lambda lats, lons: np.hypot(lats - north, lons - east) <= 9.7)

    def _make_trajectory(self) -> Placed:
        """A path through levels and steps."""
        north, east = self._draw_middle()
        path = np.array(
            [[north - 8, east - 11, 1000, 0], [north + 1, east, 800, 6], [north + 7, east + 11, 500, 12]]
        )
        reach = np.array([6.1, 7.3, 240, 5.5])
        axes = ["latitude", "longitude", "levelist", "step"]
        feature = {"type": "trajectory", "points": path.tolist(), "axes": axes, "inflation": reach.tolist()}
        indices = {
            (step, level): self._find(_near_path(path, reach, float(level), float(step)))
            for step in STEPS
            for level in LEVELS
        }
        return Placed(feature, {at: found for at, found in indices.items() if found}, {"levtype": "pl"})

    def _at_points(self, kind: str, more: dict[str, Any], **keys: str) -> Placed:
        points = [list(self._draw_middle()) for _ in range(POINTS)]
        if self._grid not in _MIDDLES:
            points += _EDGES
        indices = [nearest(self._grid, *point) for point in points]
        return Placed({"type": kind, "points": points, **more}, {_ANY: indices}, keys)

    def _of_area(self, feature: dict[str, Any], inside: Inside) -> Placed:
        return Placed(feature, {_ANY: self._find(inside)}, {"step": "/".join(STEPS[::2])})

    def _find(self, inside: Inside) -> list[int]:
        """The points that are inside in any turn of their longitudes."""
        turns = (self._longitudes + 360 * turn for turn in range(-3, 3))
        return np.flatnonzero(np.any([inside(self._latitudes, lons) for lons in turns], axis=0)).tolist()

    def _draw_middle(self) -> tuple[float, float]:
        latitudes, longitudes = _MIDDLES.get(self._grid, _EVERYWHERE)
        return tuple(round(float(self._random.uniform(*ends)), 4) for ends in (latitudes, longitudes))  # type: ignore[return-value]

    def _draw_box(self, high: float, wide: float) -> tuple[float, float, float, float]:
        north, east = self._draw_middle()
        return tuple(round(one, 4) for one in (north - high, east - wide, north + high, east + wide))  # type: ignore[return-value]

    def _draw_ring(self, north: float, east: float, reach: float) -> list[list[float]]:
        """A ring of several corners around a point that does not cross itself."""
        angles = np.arange(9) * 2 * np.pi / 9
        away = self._random.uniform(reach / 2, reach, 9)
        return (
            np.column_stack((north + away * np.sin(angles), east + away * np.cos(angles))).round(4).tolist()
        )


def _middle(ring: Sequence[Sequence[float]]) -> list[float]:
    return np.mean(ring, axis=0).tolist()


def _in_box(south: float, west: float, north: float, east: float) -> Inside:
    return lambda lats, lons: (lats >= south) & (lats <= north) & (lons >= west) & (lons <= east)


def _in_ring(ring: Sequence[Sequence[float]], lats: Any, lons: Any) -> Any:
    inside = np.zeros(len(lats), bool)
    for (y1, x1), (y2, x2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        inside ^= ((y1 > lats) != (y2 > lats)) & (lons < x1 + (lats - y1) / (y2 - y1) * (x2 - x1))
    return inside


def _near_path(path: Any, reach: Any, level: float, step: float) -> Inside:
    """Whether points at a level and a step are in an ellipsoid that is moved along a path."""

    def inside(lats: Any, lons: Any) -> Any:
        points = np.column_stack((lats, lons, np.full(len(lats), level), np.full(len(lats), step))) / reach
        found = np.zeros(len(lats), bool)
        for begin, end in zip(path[:-1] / reach, path[1:] / reach, strict=True):
            along = end - begin
            part = np.clip((points - begin) @ along / (along @ along), 0, 1)
            found |= ((points - begin - np.outer(part, along)) ** 2).sum(axis=1) <= 1
        return found

    return inside
