"""Grids whose points are arithmetic: which index is nearest to a position, and which are inside a shape.

Gaussian grids (regular, and reduced: octahedral and classic), latitude-longitude grids (regular and reduced,
global and local) and HEALPix are rows of constant latitude with equally spaced points. So a :class:`RowGrid`
holds a few numbers a row, and finds points without going through all of them. The points of other grids are
rows of one point each (:mod:`polytope_server.grids.scattered`).

It needs numpy. A frontend does not import it.
"""

from __future__ import annotations

from polytope_server.grids.areas import Box
from polytope_server.grids.grid import RowGrid
from polytope_server.grids.healpix import healpix
from polytope_server.grids.intervals import TOLERANCE
from polytope_server.grids.makers import octahedral, rectangle, reduced, reduced_gaussian
from polytope_server.grids.mapper import from_mapper
from polytope_server.grids.message import from_message
from polytope_server.grids.polygons import Ring
from polytope_server.grids.ranges import (
    Ranges,
    TooManyPointsError,
    collect_indices,
    count_points,
    expand_ranges,
    merge_ranges,
)
from polytope_server.grids.scattered import ScatteredGrid, from_coordinates, scattered

__all__ = [
    "TOLERANCE",
    "Box",
    "Ranges",
    "Ring",
    "RowGrid",
    "ScatteredGrid",
    "TooManyPointsError",
    "collect_indices",
    "count_points",
    "expand_ranges",
    "from_coordinates",
    "from_mapper",
    "from_message",
    "healpix",
    "merge_ranges",
    "octahedral",
    "rectangle",
    "reduced",
    "reduced_gaussian",
    "scattered",
]
