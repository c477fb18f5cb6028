"""The points of a grid that a feature chooses, in blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from polytope_server.datasource.polytope.arrays import Floats, Integers, split_ranges
from polytope_server.grids import Ranges, RowGrid, collect_indices, count_points, expand_ranges


@dataclass(frozen=True)
class Block:
    """Some of the points: the ranges to extract, and where in what is extracted each point is.

    `places` is None where the points are all of the ranges, in their order.
    """

    grid: RowGrid
    ranges: Ranges
    places: Integers | None = None

    @cached_property
    def size(self) -> int:
        """How many points it has."""
        return self.extracted if self.places is None else len(self.places)

    @cached_property
    def extracted(self) -> int:
        """How many values of each field must be extracted for it."""
        return count_points(self.ranges)

    @cached_property
    def pairs(self) -> list[list[int]]:
        """The ranges as plain numbers."""
        pairs: list[list[int]] = self.ranges.tolist()
        return pairs

    def arranged(self, values: Floats) -> Floats:
        """Values of the ranges as those of the points; the last dimension counts."""
        return values if self.places is None else values[..., self.places]

    def coordinates(self) -> tuple[Floats, Floats]:
        """Latitudes and longitudes of the points."""
        indices = expand_ranges(self.ranges)
        return self.grid.coordinates(indices if self.places is None else indices[self.places])


class Points(Protocol):
    """The points that a feature chooses of a grid."""

    @property
    def count(self) -> int: ...

    def blocks(self, most: int) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Listed:
    """Points in an order of their own, in which one may occur several times."""

    grid: RowGrid
    indices: Integers

    @property
    def count(self) -> int:
        return len(self.indices)

    def blocks(self, most: int) -> Iterator[Block]:
        for start in range(0, self.count, most):
            chosen, places = np.unique(self.indices[start : start + most], return_inverse=True)
            yield Block(self.grid, collect_indices(chosen), places.astype(np.int64))


@dataclass(frozen=True)
class Covered:
    """All points of some ranges, in the order of the grid."""

    grid: RowGrid
    ranges: Ranges

    @cached_property
    def count(self) -> int:
        return count_points(self.ranges)

    def blocks(self, most: int) -> Iterator[Block]:
        for ranges in split_ranges(self.ranges, most):
            yield Block(self.grid, ranges)


@dataclass(frozen=True)
class Stretch:
    """Points, and the keys of the fields that have the values there, besides those that all fields have."""

    keys: Mapping[str, str]
    points: Points
