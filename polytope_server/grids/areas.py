"""Boxes and frames: what they cover of each row."""

from __future__ import annotations

import numpy as np

from polytope_server.grids.intervals import TOLERANCE, Intervals, join_intervals
from polytope_server.grids.ranges import Floats, Integers

#: South, west, north, east in degrees. East of 180 or west of 0 may be written in any turn.
Box = tuple[float, float, float, float]


def cover_box(latitudes: Floats, box: Box) -> Intervals:
    """The intervals of a box, of which the borders are part.

    Args:
        latitudes: Of the rows, in ascending order.
        box: It goes from west eastwards to east: across the date line if east is the smaller one.
    """
    south, west, north, east = box
    rows = np.flatnonzero((latitudes >= south - TOLERANCE) & (latitudes <= north + TOLERANCE))
    return _fill(rows, west, turn_east(west, east))


def cover_frame(latitudes: Floats, outer: Box, inner: Box) -> Intervals:
    """The intervals of the points of one box that are not within another.

    Args:
        latitudes: Of the rows, in ascending order.
        outer: As for :func:`cover_box`.
        inner: The hole. Its borders belong to the frame, unless they are outside of the outer box.
    """
    _, west, _, east = outer
    east = min(turn_east(west, east), west + 360)
    hole_south, hole_west, hole_north, hole_east = inner
    rows = cover_box(latitudes, outer).rows
    beside = (latitudes[rows] > hole_south + TOLERANCE) & (latitudes[rows] < hole_north - TOLERANCE)
    pieces = _cut_hole(west, east, hole_west, turn_east(hole_west, hole_east))
    return join_intervals(
        (_fill(rows[~beside], west, east), *(_fill(rows[beside], *piece) for piece in pieces))
    )


def _cut_hole(west: float, east: float, hole_west: float, hole_east: float) -> list[tuple[float, float]]:
    """What is left of an interval of one turn or less."""
    pieces = [(west, east)]
    first_turn = west + (hole_west - west) % 360 - hole_west
    for turn in (first_turn - 360, first_turn):
        begin, end = hole_west + turn, hole_east + turn
        pieces = [
            piece
            for w, e in pieces
            for piece in ([(w, begin), (end, e)] if begin < e and end > w else [(w, e)])
            if piece[0] <= piece[1]
        ]
    return pieces


def turn_east(west: float, east: float) -> float:
    """The eastern end of an interval, in the turn in which it is not west of the western one."""
    return east if east >= west else west + (east - west) % 360


def _fill(rows: Integers, west: float, east: float) -> Intervals:
    return Intervals(rows, np.full(len(rows), west), np.full(len(rows), east))
