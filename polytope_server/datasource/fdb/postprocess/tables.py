"""What MIR knows: areas by name, and which parameters are the two components of one vector.

As plain data (`tables.json`), so that the frontend needs no MIR. They are those of the MIR that the extra
`mir` installs; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

Edges = tuple[float, float, float, float]
"""North, west, south and east of an area, in degrees."""
Pair = tuple[int, int]
"""The numbers of two parameters that are the first and the second component of a vector."""

WIND: Pair = (131, 132)
"""The components of wind."""
VORTICITY_DIVERGENCE: Pair = (138, 155)
"""Vorticity and divergence, from which MIR computes the wind."""


@dataclass(frozen=True)
class Tables:
    """Areas by their names in small letters, and the pairs of parameters."""

    areas: Mapping[str, Edges]
    pairs: tuple[Pair, ...]

    def pair_of(self, number: int) -> Pair | None:
        """The pair that a parameter is a component of."""
        return next((pair for pair in self.pairs if number in pair), None)


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables of the package, read once."""
    found = json.loads(files(__package__).joinpath("tables.json").read_text())
    areas: dict[str, Edges] = {name: tuple(edges) for name, edges in found["areas"].items()}
    # Two have another name in MARS.
    areas |= {"g": areas["global"], "e": areas["europe"]}
    return Tables(areas, tuple((first, second) for first, second in found["vectors"]))
