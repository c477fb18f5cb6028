"""The grids that can be asked for: how they are written, and how many points they have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from polytope_server.datasource.fdb.postprocess.numbers import plain, read_decimals
from polytope_server.datasource.fdb.postprocess.tables import Edges

EXPECTED = (
    "expected degrees from west to east and from south to north such as 1/1 or 0.25/0.25, "
    "or the name of a grid such as N320, O1280, F400 or H128"
)
#: Classic reduced Gaussian grids whose points are known: the latitudes between a pole and the equator.
_CLASSIC = (16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512, 576, 640, 800, 1024, 1280, 1600)
_CLASSIC_LARGE = (2000, 4000)
_GAUSSIAN = re.compile("([nof])([1-9][0-9]{0,3})")
_HEALPIX = re.compile("h([rn]?)([1-9][0-9]{0,3})([rn]?)")
_MOST_LATITUDES = 8000
_WORLD: Edges = (90.0, 0.0, -90.0, 360.0)


@dataclass(frozen=True)
class Grid:
    """A grid as MIR calls it, and by what its points are counted."""

    name: str
    #: The points on the whole globe (of classic grids, about), or their distances in degrees: from west to
    #: east, and from south to north.
    points: int | tuple[Decimal, Decimal]

    @property
    def is_healpix(self) -> bool:
        """Whether it is one of the grids that MIR can neither cut nor rotate."""
        return self.name.startswith("H")

    def points_in(self, area: Edges | None) -> int:
        """About how many points an area has, by its part of the globe."""
        north, west, south, east = area or _WORLD
        width = (east - west) % 360 or (0 if east == west else 360)
        if isinstance(self.points, int):
            return int(self.points * (width / 360) * ((north - south) / 180))
        step_east, step_north = map(float, self.points)
        return (int(width / step_east) + 1) * (int((north - south) / step_north) + 1)


def read_grid(text: str) -> Grid:
    """The grid that a value means. Raises ValueError, which says what is expected."""
    text = text.lower()
    if "/" in text:
        return _read_increments(text)
    if gaussian := _GAUSSIAN.fullmatch(text):
        return _read_gaussian(gaussian[1].upper(), int(gaussian[2]))
    if healpix := _HEALPIX.fullmatch(text):
        return _read_healpix(healpix[1] + healpix[3], int(healpix[2]))
    raise ValueError(EXPECTED)


def read_gaussian_number(text: str, kind: str) -> Grid:
    """The grid that a mere number means, together with the key `gaussian`: `regular` or `reduced`.

    Raises ValueError, which says what is expected.
    """
    return _read_gaussian({"regular": "F", "reduced": "N"}[kind], int(text[:6]))


def _read_increments(text: str) -> Grid:
    east, north = read_decimals(text, 2, EXPECTED)
    if not (0 < east <= 360 and 0 < north <= 180):
        raise ValueError("expected degrees above 0: up to 360 from west to east, and 180 from south to north")
    return Grid(f"{plain(east)}/{plain(north)}", (east, north))


def _read_gaussian(kind: str, number: int) -> Grid:
    known = (*_CLASSIC, *_CLASSIC_LARGE)
    if kind == "N" and number not in known:
        raise ValueError(f"expected N and one of {', '.join(map(str, known))}")
    if not 2 <= number <= _MOST_LATITUDES:
        raise ValueError(f"expected {kind} and a number from 2 to {_MOST_LATITUDES}")
    # N: a little less than 5.5 for each square, by the grids themselves (N128 has 88,838 points).
    points = {"N": 5.5 * number**2, "O": 4 * number**2 + 36 * number, "F": 8 * number**2}[kind]
    return Grid(f"{kind}{number}", int(points))


def _read_healpix(order: str, number: int) -> Grid:
    if number & (number - 1) or number > 8192 or len(order) > 1:
        raise ValueError(
            "expected H and a power of two up to 8192; HN for the nested order, H or HR for that of rings"
        )
    return Grid(f"H{order.upper()}{number}", 12 * number**2)
