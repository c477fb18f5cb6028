"""The kinds of features, with values that are known to be good.

Points are latitude and longitude in degrees, in the order of the request. Latitudes are -90 to 90, longitudes
in any turn. A `range` is the text of one key of a request: `0/6/12`, `0/to/240/by/6`; without `by` it means
what the archive has in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from polytope_server.features.geometry import (
    Point,
    Ring,
    box_area,
    cap_area,
    path_area,
    ring_area,
)
from polytope_server.features.spans import level_span, step_span


@dataclass(frozen=True)
class Feature:
    """A part of the hypercube: points, lines or areas, over what the request says of the other axes."""

    #: As a request calls it.
    type: ClassVar[str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a request that it runs along, besides latitude and longitude.

        A range of one of them that has no `by` means what the archive has between its ends.
        """
        return ()

    @property
    def area(self) -> float:
        """Square kilometres that it covers, about."""
        return 0.0

    def implied(self) -> Mapping[str, str]:
        """What it asks for besides latitude and longitude, as keys and values of a request.

        A data source gets them as keys of the request. Where one has another value there, a patch of the
        configuration has replaced it, and the key counts.
        """
        return {}


@dataclass(frozen=True)
class Points(Feature):
    """Values at the nearest grid points. As many as there are points, of each field."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Position(Points):
    """Points by themselves."""

    type: ClassVar[str] = "position"


@dataclass(frozen=True)
class TimeSeries(Points):
    """Points over a key that counts time; `range` is None where the request has that key."""

    type: ClassVar[str] = "timeseries"
    time_axis: str = "step"
    range: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.time_axis,)

    def implied(self) -> Mapping[str, str]:
        return {} if self.range is None else {self.time_axis: self.range}


@dataclass(frozen=True)
class VerticalProfile(Points):
    """Points over levels; `range` is None where the request has `levelist`."""

    type: ClassVar[str] = "verticalprofile"
    range: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return ("levelist",)

    def implied(self) -> Mapping[str, str]:
        return {} if self.range is None else {"levelist": self.range}


@dataclass(frozen=True)
class BoundingBox(Feature):
    """All grid points in a box, its edges included. `west` is less than `east`, by 360 degrees at most.

    `levels` are those between two levels, None where the request has `levelist`.
    """

    type: ClassVar[str] = "boundingbox"
    south: float
    west: float
    north: float
    east: float
    levels: str | None = None

    @property
    def area(self) -> float:
        return box_area(self.south, self.west, self.north, self.east)

    @property
    def keys(self) -> tuple[str, ...]:
        return () if self.levels is None else ("levelist",)

    def implied(self) -> Mapping[str, str]:
        return {} if self.levels is None else {"levelist": self.levels}


@dataclass(frozen=True)
class Polygon(Feature):
    """All grid points in any of the polygons, each of which is a ring, and rings of holes in it."""

    type: ClassVar[str] = "polygon"
    polygons: tuple[tuple[Ring, ...], ...]

    @property
    def area(self) -> float:
        return sum(ring_area(ring) - sum(map(ring_area, holes)) for ring, *holes in self.polygons)


@dataclass(frozen=True)
class Circle(Feature):
    """All grid points around a point, up to a distance in degrees."""

    type: ClassVar[str] = "circle"
    center: Point
    radius: float
    level: str | None = None

    @property
    def area(self) -> float:
        return cap_area(self.radius)

    @property
    def keys(self) -> tuple[str, ...]:
        return () if self.level is None else ("levelist",)

    def implied(self) -> Mapping[str, str]:
        return {} if self.level is None else {"levelist": self.level}


@dataclass(frozen=True)
class Frame(Feature):
    """All grid points in the outer box that are not inside of the inner one."""

    type: ClassVar[str] = "frame"
    outer: BoundingBox
    inner: BoundingBox

    @property
    def area(self) -> float:
        return self.outer.area - self.inner.area


@dataclass(frozen=True)
class Trajectory(Feature):
    """All grid points near a path: those that a shape passes that is moved along it.

    `points` have a number for each of the `axes`, the first two of which are latitude and longitude; a step
    counts hours. `inflation` is how far the shape reaches along each axis: an ellipsoid around the point
    (`round`), or a box that begins at the point, as in the published library.
    """

    type: ClassVar[str] = "trajectory"
    points: tuple[tuple[float, ...], ...]
    axes: tuple[str, ...]
    inflation: tuple[float, ...]
    inflate: Literal["round", "box"] = "round"

    @property
    def area(self) -> float:
        path = ((point[0], point[1]) for point in self.points)
        return path_area(path, (self.inflation[0], self.inflation[1]))

    @property
    def keys(self) -> tuple[str, ...]:
        return self.axes[2:]

    def implied(self) -> Mapping[str, str]:
        return {axis: self._span(axis) for axis in self.keys}

    def _span(self, axis: str) -> str:
        ends = self._ends(axis)
        if axis == "levelist":
            return level_span(*ends)
        place = self.axes.index(axis)
        whole = all(point[place].is_integer() for point in self.points)
        return step_span(*ends, unit=3600 if whole else 60)

    def _ends(self, axis: str) -> tuple[float, float]:
        """Where the shape begins and ends on an axis, none of which has negative numbers."""
        place = self.axes.index(axis)
        margin = self.inflation[place]
        numbers = [point[place] for point in self.points]
        before = margin if self.inflate == "round" else 0.0
        return max(min(numbers) - before, 0.0), max(numbers) + margin
