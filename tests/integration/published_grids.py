"""Messages on a grid of the kind that published data have, as coarse as a feature allows."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import eccodes
import numpy as np

#: Values of a field are a pattern of its points, and its number times the pitch: exact in 24 bits.
PATTERN, PITCH = 251, 256
#: The least resolution with which shapes hold points: of points, of areas and of those that are thin.
_OCTAHEDRAL = {"points": 32, "area": 160, "thin": 640}
_HEALPIX = {"points": 16, "area": 128, "thin": 512}
_AREAS = {"boundingbox", "polygon", "circle"}
#: Local grids are around the first point of a feature, so far in degrees.
_AROUND, _CELLS = 1.5, 4000


class Grid:
    """Makes the messages of fields on one grid.

    Attributes:
        mappers: What the configuration must say of the grid.
    """

    def __init__(self, sample: str, keys: dict[str, Any], size: int) -> None:
        """By a sample of ecCodes, what to set in it, and the number of points."""
        self._handle = _open(sample, keys, size)
        self._messages: dict[str, bytearray] = {}
        self._names: dict[str, str] = {}
        self._patterns: dict[tuple[float, float], int] = {}
        self.mappers: list[dict[str, Any]] = []
        eccodes.codes_set(self._handle, "bitsPerValue", 8)
        eccodes.codes_set_values(self._handle, (np.arange(size) * 37 % PATTERN).astype(float))

    def message(self, param: str, number: int) -> bytes:
        """A field of a parameter: the pattern, and `number` times the pitch."""
        if param not in self._messages:
            self._messages[param] = bytearray(_name(self._handle, param))
        message = self._messages[param]
        # The reference value, which all values of a field are above.
        start = _find_section(message, 5) + 11
        message[start : start + 4] = struct.pack(">f", number * PITCH)
        return bytes(message)

    def name_of(self, param: str) -> str:
        """What ecCodes calls a parameter in the messages that were made."""
        if param not in self._names:
            self._names[param] = _read_name(bytes(self._messages[param]))
        return self._names[param]

    @cached_property
    def coordinates(self) -> tuple[Any, Any]:
        """Latitudes and longitudes of all points, in degrees."""
        return tuple(eccodes.codes_get_array(self._handle, key) for key in ("latitudes", "longitudes"))

    def pattern_at(self, latitude: float, longitude: float) -> int:
        """What the values of the nearest point tell of it."""
        place = latitude, longitude
        if place not in self._patterns:
            self._patterns[place] = self._find_nearest(latitude, longitude) * 37 % PATTERN
        return self._patterns[place]

    def _find_nearest(self, latitude: float, longitude: float) -> int:
        latitudes, longitudes = self.coordinates
        # PERF: there are millions of points, and a nearest one is near in latitude.
        near = np.flatnonzero((latitudes > latitude - 5) & (latitudes < latitude + 5))
        north, east, lat, lon = map(np.radians, (latitudes[near], longitudes[near], latitude, longitude))
        square = np.sin((north - lat) / 2) ** 2
        square += np.cos(north) * np.cos(lat) * np.sin((east - lon) / 2) ** 2
        return int(near[square.argmin()])


class Cells(Grid):
    """An unstructured grid around a place: its messages do not say where its points are."""

    def __init__(self, latitude: float, longitude: float) -> None:
        super().__init__("GRIB2", {"gridType": "unstructured_grid", "numberOfDataPoints": _CELLS}, _CELLS)
        away = np.random.default_rng(1).uniform(-_AROUND, _AROUND, (2, _CELLS))
        points = np.array([[latitude], [longitude]]) + away
        self._points = tuple(points)
        mapper = {"name": "mapper", "type": "unstructured", "resolution": 0, "points": points.T.tolist()}
        mapper |= {"axes": ["latitude", "longitude"]}
        self.mappers = [{**mapper, "md5_hash": eccodes.codes_get(self._handle, "md5GridSection")}]

    @cached_property
    def coordinates(self) -> tuple[Any, Any]:
        return self._points


def grid_of(kind: str, feature: Mapping[str, Any]) -> Grid:
    """A grid of a kind of data, on which a feature has points."""
    thin = feature["type"] in ("trajectory", "frame") or "levelist" in feature.get("axes", ())
    size = "area" if feature["type"] in _AREAS else "points"
    match kind:
        case "climate-dt" | "climate-dt-monthly" | "nextgems":
            return _nested(_HEALPIX["thin" if thin else size])
        case "extremes-dt" | "ifs":
            return _octahedral(_OCTAHEDRAL["thin" if thin else size])
        case "efas":
            return _regular()
        case "icon":
            return Cells(*_first_place(feature))
        case _:
            return _conic(*_first_place(feature))


def _first_place(feature: Mapping[str, Any]) -> tuple[float, float]:
    """Latitude and longitude of the first point of a feature."""
    found = next(feature[key] for key in ("points", "shape", "center", "outer_box") if key in feature)
    while isinstance(found[0], list | tuple):
        found = found[0]
    axes = feature.get("axes", feature.get("axis"))
    first, second = float(found[0]), float(found[1])
    return (second, first) if isinstance(axes, list) and str(axes[0]).startswith("lon") else (first, second)


@cache
def _nested(side: int) -> Grid:
    keys = {"gridType": "healpix", "Nside": side, "longitudeOfFirstGridPointInDegrees": 45}
    return Grid("GRIB2", {**keys, "orderingConvention": "nested"}, 12 * side**2)


@cache
def _octahedral(number: int) -> Grid:
    half = [20 + 4 * row for row in range(number)]
    keys = {"pl": half + half[::-1], "longitudeOfLastGridPointInDegrees": 360 - 360 / half[-1]}
    return Grid(f"reduced_gg_pl_{number}_grib2", keys, 2 * sum(half))


@cache
def _regular() -> Grid:
    ends = {"latitudeOfFirstGridPointInDegrees": 90, "latitudeOfLastGridPointInDegrees": -90}
    ends |= {"longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 359}
    pitch = {"iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1}
    return Grid("regular_ll_pl_grib2", {"Ni": 360, "Nj": 181, **ends, **pitch}, 360 * 181)


def _conic(north: float, east: float) -> Grid:
    """A projected grid of 5 km around a place."""
    middle = north if abs(north) > 5 else 5.0
    keys = {"gridType": "lambert_lam", "Nx": 81, "Ny": 81, "DxInMetres": 5000, "DyInMetres": 5000}
    keys |= {"shapeOfTheEarth": 6, "jScansPositively": 1, "LoVInDegrees": east % 360, "LaDInDegrees": middle}
    keys |= {"Latin1InDegrees": middle, "Latin2InDegrees": middle}
    keys |= {"latitudeOfFirstGridPointInDegrees": north - _AROUND}
    return Grid("GRIB2", {**keys, "longitudeOfFirstGridPointInDegrees": (east - _AROUND) % 360}, 81 * 81)


def _open(sample: str, keys: dict[str, Any], size: int) -> int:
    """A message on a grid with so many points. Its values are real: a field of zeros has another packing."""
    handle: int = eccodes.codes_grib_new_from_samples(sample)
    for key, value in keys.items():
        (eccodes.codes_set_array if isinstance(value, list) else eccodes.codes_set)(handle, key, value)
    eccodes.codes_set_values(handle, np.linspace(1, 2, size))
    eccodes.codes_set(handle, "tablesVersion", 33)
    return handle


def _name(handle: int, param: str) -> bytes:
    """The message with a parameter; if ecCodes does not know it here, one without a name."""
    clone = eccodes.codes_clone(handle)
    try:
        try:
            eccodes.codes_set(clone, "paramId", int(param))
        except eccodes.CodesInternalError:
            for key, value in {"discipline": 192, "parameterCategory": 192, "parameterNumber": 192}.items():
                eccodes.codes_set(clone, key, value)
        return bytes(eccodes.codes_get_message(clone))
    finally:
        eccodes.codes_release(clone)


def _read_name(message: bytes) -> str:
    handle = eccodes.codes_new_from_message(message)
    try:
        return str(eccodes.codes_get(handle, "shortName"))
    finally:
        eccodes.codes_release(handle)


def _find_section(message: bytearray, number: int) -> int:
    """Where a section of a message of edition 2 begins."""
    place = 16
    while message[place + 4] != number:
        place += int.from_bytes(message[place : place + 4], "big")
    return place
