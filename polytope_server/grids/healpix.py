"""HEALPix (Górski et al. 2005, ApJ 622, 759): rings of constant latitude, counted along rings or nested.

The sphere is twelve squares ("faces") on their corners, in three bands of four. Inside a face x counts to
the north-east, and y to the north-west. With `v = x + y` and `h = x - y` a point's ring follows from v, and
its longitude is `45 / q` degrees times `center * q + h`, where q is the number of points in a quarter of the
ring, and `center` the longitude of the face's centre, in units of 45 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polytope_server.grids.grid import RowGrid
from polytope_server.grids.ranges import Floats, Integers
from polytope_server.grids.rows import Rows

#: Which bits are kept when those of a number are spread to every second place, or gathered again, by shifts
#: of 1, 2, 4, 8 and 16.
_MASKS = (
    0x5555555555555555,
    0x3333333333333333,
    0x0F0F0F0F0F0F0F0F,
    0x00FF00FF00FF00FF,
    0x0000FFFF0000FFFF,
    0x00000000FFFFFFFF,
)
MAX_SIDE = 2**14


def healpix(side: int, nested: bool = False, md5: str | None = None) -> RowGrid:
    """The HEALPix grid with `side` points on the side of each of its twelve faces.

    Args:
        side: Nside; a power of two if the points are nested.
        nested: Whether the points are numbered by faces, instead of along rings.
        md5: Of the grid section.

    Returns:
        The grid.
    """
    if not 1 <= side <= MAX_SIDE or (nested and side & (side - 1)):
        kind = "a power of two" if nested else "a number"
        raise ValueError(f"Nside of a HEALPix grid is {kind} from 1 to {MAX_SIDE}, not {side}")
    rings = np.arange(1, 4 * side)
    quarters = _count_quarters(side, rings)
    rows = Rows(
        latitudes=_find_latitudes(side),
        counts=4 * quarters,
        first=45.0 / quarters * _shifted(side, rings),
        spacing=90.0 / quarters,
    )
    return RowGrid(rows, Nested(side) if nested else None, md5)


def _find_latitudes(side: int) -> Floats:
    caps = np.arange(1, side)
    belt = np.arange(side, 2 * side)
    north = np.concatenate((1 - caps**2 / (3 * side**2), 4 / 3 - 2 * belt / (3 * side)))
    latitudes = np.degrees(np.arcsin(north))
    return np.concatenate((latitudes, [0.0], -latitudes[::-1]))


def _count_quarters(side: int, rings: Integers) -> Integers:
    """The number of points in a quarter of each ring; rings count from 1 in the north."""
    return np.minimum(np.minimum(rings, 4 * side - rings), side)


def _shifted(side: int, rings: Integers) -> Integers:
    """1 for rings that begin half a spacing east of Greenwich, 0 for those that begin there."""
    in_belt = (rings >= side) & (rings <= 3 * side)
    return np.where(in_belt, (rings - side + 1) % 2, 1)


@dataclass(frozen=True, slots=True)
class Nested:
    """Points numbered face by face, inside a face by interleaving the bits of x and y."""

    side: int

    def to_indices(self, places: Integers) -> Integers:
        side = self.side
        rings, columns = self._split_places(places)
        quarters = _count_quarters(side, rings)
        longitude = 2 * columns + _shifted(side, rings)  # in units of 45 / quarters degrees
        # The faces of the northern and southern bands have their centres at 45, 135 ... degrees, those
        # between them at 0, 90 ... degrees. A point is in the face where it is near enough to the centre.
        quadrant = longitude // (2 * quarters)
        outer = longitude - (2 * quadrant + 1) * quarters
        middle_quadrant = (longitude + quarters) // (2 * quarters)
        middle = longitude - 2 * middle_quadrant * quarters
        in_north = rings < side + np.where(rings >= side, side - np.abs(outer), 1)
        in_south = rings > 3 * side - np.where(rings <= 3 * side, side - np.abs(outer), 1)
        band = np.where(in_north, 0, np.where(in_south, 2, 1))
        h = np.where(band == 1, middle, outer)
        v = (band + 2) * side - 1 - rings
        face = 4 * band + np.where(band == 1, middle_quadrant % 4, quadrant)
        return face * side**2 + _spread_bits((v + h) // 2) + 2 * _spread_bits((v - h) // 2)

    def to_places(self, indices: Integers) -> Integers:
        side = self.side
        face, inside = np.divmod(indices, side**2)
        x, y = _gather_bits(inside), _gather_bits(inside >> 1)
        band, number = np.divmod(face, 4)
        rings = (band + 2) * side - 1 - (x + y)
        quarters = _count_quarters(side, rings)
        center = 2 * number + np.where(band == 1, 0, 1)
        longitude = (center * quarters + x - y) % (8 * quarters)
        return _start_rings(side, rings) + longitude // 2

    def _split_places(self, places: Integers) -> tuple[Integers, Integers]:
        starts = _start_rings(self.side, np.arange(1, 4 * self.side))
        rows = np.searchsorted(starts, places, side="right") - 1
        return rows + 1, places - starts[rows]


def _start_rings(side: int, rings: Integers) -> Integers:
    """The place of the first point of each ring."""
    north = 2 * rings * (rings - 1)
    belt = 2 * side * (side - 1) + 4 * side * (rings - side)
    from_south = 4 * side - rings
    south = 12 * side**2 - 2 * from_south * (from_south + 1)
    return np.where(rings < side, north, np.where(rings <= 3 * side, belt, south))


def _spread_bits(numbers: Integers) -> Integers:
    for step in reversed(range(5)):
        numbers = (numbers | numbers << (1 << step)) & _MASKS[step]
    return numbers


def _gather_bits(numbers: Integers) -> Integers:
    """Every second bit, from the lowest one."""
    numbers = numbers & _MASKS[0]
    for step in range(5):
        numbers = (numbers | numbers >> (1 << step)) & _MASKS[step + 1]
    return numbers
