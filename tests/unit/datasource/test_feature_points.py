"""Points of a grid in blocks, and ranges of indices in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytope_server.datasource.polytope.arrays import split_ranges
from polytope_server.datasource.polytope.points import Covered, Listed
from polytope_server.grids import collect_indices, expand_ranges, octahedral

GRID = octahedral(8)


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 20))
def test_pieces_of_ranges_have_all_indices_in_order(indices: set[int], most: int) -> None:
    ranges = collect_indices(np.array(sorted(indices)))
    pieces = split_ranges(ranges, most)
    sizes = [len(expand_ranges(piece)) for piece in pieces]
    assert np.concatenate([expand_ranges(piece) for piece in pieces]).tolist() == sorted(indices)
    assert all(size == most for size in sizes[:-1])
    assert 0 < sizes[-1] <= most


def test_no_ranges_have_no_pieces() -> None:
    assert split_ranges(np.empty((0, 2), np.int64), 5) == []


@given(st.lists(st.integers(0, GRID.size - 1), min_size=1, max_size=30), st.integers(1, 9))
def test_points_in_an_order_of_their_own_keep_it(indices: list[int], most: int) -> None:
    points = Listed(GRID, np.array(indices))
    values = np.arange(GRID.size, dtype=float)
    blocks = list(points.blocks(most))
    found = [block.arranged(values[expand_ranges(block.ranges)]) for block in blocks]
    assert np.concatenate(found).tolist() == indices
    assert sum(block.size for block in blocks) == points.count == len(indices)
    places = np.concatenate([np.transpose(block.coordinates()) for block in blocks])
    assert places.tolist() == np.transpose(GRID.coordinates(indices)).tolist()


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_all_points_of_ranges_come_in_the_order_of_the_grid(most: int) -> None:
    ranges = np.array([[3, 9], [20, 41]])
    points = Covered(GRID, ranges)
    blocks = list(points.blocks(most))
    assert np.concatenate([expand_ranges(block.ranges) for block in blocks]).tolist() == [
        *range(3, 9),
        *range(20, 41),
    ]
    assert {block.places is None for block in blocks} == {True}
    assert points.count == 27
