"""Circles and paths: what is swept when a shape moves along straight lines, of each row.

A path may have axes besides latitude and longitude (levels, steps). It is cut at a value of each of them:
what is left is flat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from polytope_server.grids.intervals import TOLERANCE, Intervals, join_intervals, pair_with_rows
from polytope_server.grids.ranges import Floats, Integers

#: A speed, or the square of one, that counts as none.
_NO_MOVE = 1e-30


@dataclass(frozen=True, slots=True)
class _Lines:
    """The straight lines of a path, each from its start at time 0 to its end at time 1."""

    starts: Floats
    moves: Floats

    @classmethod
    def through(cls, points: Sequence[Sequence[float]] | Floats) -> _Lines:
        """Those through points in turn. From one to the next the longitude goes the shorter way."""
        corners = np.array(points, float)
        corners[:, 1] = np.unwrap(corners[:, 1], period=360)
        if len(corners) == 1:
            corners = np.repeat(corners, 2, axis=0)
        return cls(corners[:-1], np.diff(corners, axis=0))

    def bounds(self) -> tuple[Floats, Floats]:
        """The southern and the northern end of each."""
        ends = self.starts[:, 0] + self.moves[:, 0]
        return np.minimum(self.starts[:, 0], ends), np.maximum(self.starts[:, 0], ends)


def _slack(axes: int) -> Floats:
    """The tolerance along each axis; that of the longitude is the one of all intervals."""
    return np.array([TOLERANCE, 0, *(axes - 2) * [TOLERANCE]])


def _number_axes(latitudes: Floats, at: Sequence[float]) -> Iterator[tuple[int, Floats]]:
    """The values of all axes but the longitude."""
    yield 0, latitudes
    for axis, value in enumerate(at, start=2):
        yield axis, np.asarray(value, float)


def cover_round_path(
    latitudes: Floats, points: Sequence[Sequence[float]], radii: Sequence[float], at: Sequence[float] = ()
) -> Intervals:
    """The intervals of what an ellipsoid sweeps on its way through points; of a circle if there is one point.

    Args:
        latitudes: Of the rows, in ascending order.
        points: Latitude, longitude and the values of further axes.
        radii: Of the ellipsoid along each axis, in its unit.
        at: The values of the further axes at which it is cut.
    """
    lines = _Lines.through(points)
    half_axes = np.asarray(radii, float) + _slack(len(radii))
    south, north = lines.bounds()
    pairs = pair_with_rows(latitudes, south - half_axes[0], north + half_axes[0])
    return join_intervals(
        _sweep_ellipsoid(lines, half_axes, chosen, rows, latitudes[rows], at) for chosen, rows in pairs
    )


def _sweep_ellipsoid(
    lines: _Lines, radii: Floats, chosen: Integers, rows: Integers, latitudes: Floats, at: Sequence[float]
) -> Intervals:
    """The intervals for pairs of a line and a row.

    At time t the ellipsoid reaches `radius * sqrt(q(t))` to the east and the west of the line, with
    `q(t) = 1 - sum(((line(t) - value) / radius)**2)` over all axes but the longitude: a parabola that is
    open downwards, `d - a (t - middle)**2`. So the eastern reach has one maximum, at
    `t = middle + sqrt(d / a) * move / hypot(move, radius * sqrt(a))` or at the nearest time that exists.
    """
    starts, moves = lines.starts[chosen], lines.moves[chosen]
    square, mixed, constant = (np.zeros(len(chosen)) for _ in range(3))
    for axis, value in _number_axes(latitudes, at):
        away, speed = (starts[:, axis] - value) / radii[axis], moves[:, axis] / radii[axis]
        square, mixed, constant = square + speed**2, mixed + away * speed, constant + away**2
    square = np.maximum(square, _NO_MOVE)
    middle = -mixed / square
    peak = 1 - constant + mixed**2 / square
    half = np.sqrt(np.maximum(peak, 0) / square)
    begin, end = np.maximum(middle - half, 0), np.minimum(middle + half, 1)
    reached = (peak >= 0) & (begin <= end)
    lean = half * moves[:, 1] / np.maximum(np.hypot(moves[:, 1], radii[1] * np.sqrt(square)), _NO_MOVE)
    ends = []
    for side in (-1, 1):
        time = np.clip(middle + side * lean, begin, end)
        reach = np.sqrt(np.maximum(peak - square * (time - middle) ** 2, 0))
        ends.append(starts[:, 1] + moves[:, 1] * time + side * radii[1] * reach)
    return Intervals(rows[reached], ends[0][reached], ends[1][reached])


def cover_box_path(
    latitudes: Floats,
    points: Sequence[Sequence[float]],
    lower: Sequence[float],
    upper: Sequence[float],
    at: Sequence[float] = (),
) -> Intervals:
    """The intervals of what a box sweeps on its way through points.

    Args:
        latitudes: Of the rows, in ascending order.
        points: Latitude, longitude and the values of further axes.
        lower: Where the box begins along each axis, from the point where it is: -1 for one unit before it.
        upper: Where it ends.
        at: The values of the further axes at which it is cut.
    """
    lines = _Lines.through(points)
    slack = _slack(len(lower))
    begins, ends = np.asarray(lower, float) - slack, np.asarray(upper, float) + slack
    south, north = lines.bounds()
    pairs = pair_with_rows(latitudes, south + begins[0], north + ends[0])
    return join_intervals(
        _sweep_box(lines, begins, ends, chosen, rows, latitudes[rows], at) for chosen, rows in pairs
    )


def _sweep_box(
    lines: _Lines,
    lower: Floats,
    upper: Floats,
    chosen: Integers,
    rows: Integers,
    latitudes: Floats,
    at: Sequence[float],
) -> Intervals:
    """The intervals for pairs of a line and a row: the longitudes of the times at which the box is there."""
    starts, moves = lines.starts[chosen], lines.moves[chosen]
    begin, end = np.zeros(len(chosen)), np.ones(len(chosen))
    for axis, value in _number_axes(latitudes, at):
        away, speed = value - starts[:, axis], moves[:, axis]
        moving = np.abs(speed) > _NO_MOVE
        divisor = np.where(moving, speed, 1)
        times = np.sort([(away - upper[axis]) / divisor, (away - lower[axis]) / divisor], axis=0)
        always = (lower[axis] <= away) & (away <= upper[axis])
        begin = np.maximum(begin, np.where(moving, times[0], np.where(always, 0, 2)))
        end = np.minimum(end, np.where(moving, times[1], 1))
    reached = begin <= end
    longitudes = starts[:, 1] + moves[:, 1] * [begin, end]
    west, east = longitudes.min(axis=0) + lower[1], longitudes.max(axis=0) + upper[1]
    return Intervals(rows[reached], west[reached], east[reached])
