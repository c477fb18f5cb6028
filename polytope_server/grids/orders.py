"""In which order a grid's points are stored, where that is not row by row from west to east.

A *place* is the number of a point counted row by row, each row from west to east. An *index* is its number
in the order of the GRIB message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from polytope_server.grids.ranges import Booleans, Integers


class Order(Protocol):
    """A permutation of the points of a grid."""

    def to_indices(self, places: Integers) -> Integers:
        """The indices of places."""

    def to_places(self, indices: Integers) -> Integers:
        """The places of indices."""


@dataclass(frozen=True, slots=True, eq=False)
class FlippedRows:
    """Some rows are stored from east to west (iScansNegatively, alternativeRowScanning)."""

    #: Of each row, and the end of the last one.
    starts: Integers
    flipped: Booleans

    def to_indices(self, places: Integers) -> Integers:
        rows = np.searchsorted(self.starts, places, side="right") - 1
        mirrored = self.starts[rows] + self.starts[rows + 1] - 1 - places
        return np.where(self.flipped[rows], mirrored, places)

    def to_places(self, indices: Integers) -> Integers:
        return self.to_indices(indices)


@dataclass(frozen=True, slots=True)
class Columns:
    """A rectangle that is stored column by column (jPointsAreConsecutive)."""

    rows: int
    columns: int
    #: Whether the first column is the one furthest to the east.
    flipped: bool = False

    def to_indices(self, places: Integers) -> Integers:
        rows, columns = np.divmod(places, self.columns)
        return self._flip(columns) * self.rows + rows

    def to_places(self, indices: Integers) -> Integers:
        columns, rows = np.divmod(indices, self.rows)
        return rows * self.columns + self._flip(columns)

    def _flip(self, columns: Integers) -> Integers:
        return self.columns - 1 - columns if self.flipped else columns
