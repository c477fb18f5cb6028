"""Types of arrays, and ranges of indices in pieces."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polytope_server.grids import Ranges

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


def split_ranges(ranges: Ranges, most: int) -> list[Ranges]:
    """The ranges in blocks of `most` indices each, the last one of fewer."""
    sizes = ranges[:, 1] - ranges[:, 0]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    if total <= most:
        return [ranges] if total else []
    blocks = []
    for start in range(0, total, most):
        end = min(start + most, total)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, end, side="left"))
        block = ranges[first : last + 1].copy()
        block[0, 0] += start - (ends[first] - sizes[first])
        block[-1, 1] -= ends[last] - end
        blocks.append(block)
    return blocks
