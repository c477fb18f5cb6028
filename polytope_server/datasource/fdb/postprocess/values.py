"""The values of the single keys, as MARS writes them and as MIR takes them.

Each writer gets a value as a text and returns MIR's. It raises ValueError, whose text says what is expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from polytope_server.datasource.fdb.keys import AS_STORED
from polytope_server.datasource.fdb.postprocess.grids import read_grid
from polytope_server.datasource.fdb.postprocess.numbers import plain, read_decimals, read_whole
from polytope_server.datasource.fdb.postprocess.tables import Edges, tables

Writer = Callable[[str], str]

_AREA = (
    "expected north/west/south/east in degrees such as 60/-10/30/40, or the name of an area such as europe"
)
_ROTATION = "expected the latitude and the longitude of the south pole, such as -35/15"
_LARGEST_TRUNCATION = 7999
_MOST_BITS = 32
_LARGEST_FRAME = 10_000
#: MARS's names, and others of MIR's that need no further keys, with other spellings of each.
_INTERPOLATIONS = {
    "linear": (),
    "bilinear": (),
    "nearest-lsm": ("nlsm", "nearest lsm"),
    "nearest-neighbour": ("nn", "nearest neighbour", "nearest-neighbor", "nearest neighbor"),
    "grid-box-average": ("average", "grid box average"),
    "k-nearest-neighbours": (),
    "structured-bilinear": (),
    "structured-bicubic": (),
    "structured-biquasicubic": (),
}
_PACKINGS = {
    "second-order": ("so", "second order"),
    "complex": ("co",),
    "simple": ("si",),
    "ccsds": (),
    "ieee": (),
}


def read_area(text: str) -> Edges:
    """North, west, south and east in degrees."""
    name = text.lower()
    if "/" not in name:
        return _named_area(name)
    north, west, south, east = map(float, read_decimals(name, 4, _AREA))
    if not -90 <= south <= north <= 90:
        raise ValueError("expected north/west/south/east: latitudes within 90 degrees, and north above south")
    if not (-360 <= west <= 360 and -360 <= east <= 360):
        raise ValueError("expected north/west/south/east: longitudes from -360 to 360 degrees")
    return north, west, south, east


def write_area(text: str) -> str:
    """An area as MIR takes it."""
    edges = read_area(text)
    if "/" not in text:
        return "/".join(f"{edge:g}" for edge in edges)
    return "/".join(map(plain, read_decimals(text, 4, _AREA)))


def _named_area(name: str) -> Edges:
    areas = tables().areas
    if name not in areas:
        near = difflib.get_close_matches(name[:50], areas, 1)
        raise ValueError(f"did you mean '{near[0]}'?" if near else _AREA)
    return areas[name]


def write_grid(text: str) -> str:
    """A grid as MIR takes it. (A mere number depends on another key.)"""
    return read_grid(text).name


def write_rotation(text: str) -> str:
    """The place of the south pole."""
    latitude, longitude = read_decimals(text, 2, _ROTATION)
    if not (-90 <= latitude <= 90 and -360 <= longitude <= 360):
        raise ValueError(f"{_ROTATION}: within 90, and 360 degrees")
    return f"{plain(latitude)}/{plain(longitude)}"


def write_truncation(text: str) -> str:
    """The wave number at which spherical harmonics are cut."""
    expected = f"expected a number from 1 to {_LARGEST_TRUNCATION}, auto, or none"
    if text.lower() in ("auto", "automatic", "none"):
        return text.lower()
    return str(read_whole(text, 1, _LARGEST_TRUNCATION, expected))


def write_intermediate_grid(text: str) -> str:
    """The grid that spherical harmonics are transformed to before they are interpolated."""
    if text.lower() in ("auto", "automatic", "none", "source"):
        return text.lower()
    try:
        if "/" not in text:
            return read_grid(text).name
    except ValueError:
        pass
    raise ValueError("expected auto, none, source, or the name of a Gaussian grid such as N320, O640, F400")


def write_interpolation(text: str) -> str:
    """The method of interpolation."""
    return _find(text, _INTERPOLATIONS)


def write_packing(text: str) -> str:
    """How values are packed in GRIB."""
    return _find(text, _PACKINGS)


def write_accuracy(text: str) -> str:
    """Bits of a value in GRIB."""
    return str(read_whole(text, 1, _MOST_BITS, f"expected a number of bits from 1 to {_MOST_BITS}, or av"))


def write_frame(text: str) -> str:
    """The width of the frame along the edges of an area, in points."""
    return str(read_whole(text, 1, _LARGEST_FRAME, f"expected a number of points from 1 to {_LARGEST_FRAME}"))


def write_resolution(text: str) -> tuple[str, str] | None:
    """MARS's earlier key for what are two now: the one that is meant, and its value; None for the default."""
    word = text.lower()
    if word in AS_STORED["resol"]:
        return "truncation", "none"
    if word in ("auto", "automatic resolution"):
        return None
    if word.startswith("n"):
        return "intgrid", write_intermediate_grid(word)
    expected = f"expected a number from 1 to {_LARGEST_TRUNCATION}, auto, av, or a grid such as N128"
    return "truncation", str(read_whole(word, 1, _LARGEST_TRUNCATION, expected))


def _find(text: str, known: Mapping[str, tuple[str, ...]]) -> str:
    word = text.lower().replace("_", "-")
    for name, others in known.items():
        if word == name or word.replace("-", " ") in (other.replace("-", " ") for other in others):
            return name
    raise ValueError(f"expected one of {', '.join(known)}")


#: How each of MIR's own keys is written.
WRITERS: Mapping[str, Writer] = {
    "accuracy": write_accuracy,
    "area": write_area,
    "frame": write_frame,
    "grid": write_grid,
    "interpolation": write_interpolation,
    "intgrid": write_intermediate_grid,
    "packing": write_packing,
    "rotation": write_rotation,
    "truncation": write_truncation,
}
