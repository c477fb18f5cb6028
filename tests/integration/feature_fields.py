"""An FDB with small fields of random values on each grid that has a closed form, and what is in them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
from fdb_fields import FILED

from polytope_demonstration import fdb as demo

#: The fields on each grid have an experiment version of their own.
GRIDS = {
    "octahedral": "o032",
    "reduced": "n032",
    "gaussian": "f032",
    "regular": "ll03",
    "northwards": "ll0n",
    "local": "loca",
    "ring": "hpri",
    "nested": "hpne",
}
LABEL = {"class": "od", "stream": "oper", "type": "fc", "domain": "g", "time": "0000"}
DATES = ("20260101", "20260102")
STEPS = ("0", "6", "12", "18", "24")
LEVELS = ("1000", "850", "500")
MEMBERS = ("1", "2", "3")
#: Of sea fields, this part of the points has no value.
_MISSING = 0.3


@dataclass(frozen=True)
class Field:
    """One field: its keys, its message, and the values that it decodes to (NaN: none)."""

    keys: dict[str, str]
    message: bytes
    values: Any = field(repr=False)


def request(grid: str, **keys: Any) -> dict[str, Any]:
    """A request for fields on a grid, but for what it asks of them."""
    return {**LABEL, "levtype": "sfc", "expver": GRIDS[grid], "date": DATES[0], **keys}


def fields(grid: str, shift: float = 0.0) -> Iterator[Field]:
    """All fields on a grid; those of 2 m temperature may be shifted."""
    for date in DATES:
        for step in STEPS:
            yield make(grid, "167", date=date, step=step, shift=shift)
    for step in STEPS[:3]:
        yield make(grid, "151", step=step)
        for level in LEVELS:
            for param in ("130", "133"):
                yield make(grid, param, step=step, level=level)
    for packing in ("grid_simple", "grid_ccsds"):
        yield make(grid, "34", step="0" if packing == "grid_simple" else "6", packing=packing, missing=True)
    for step in ("6", "12"):
        yield make(grid, "228", step=step)
    for number in MEMBERS:
        for step in STEPS[:2]:
            yield make(grid, "167", step=step, number=number)


@cache
def make(
    grid: str,
    param: str,
    date: str = DATES[0],
    step: str = "0",
    level: str | None = None,
    number: str | None = None,
    packing: str = "grid_ccsds",
    missing: bool = False,
    expver: str | None = None,
    shift: float = 0.0,
) -> Field:
    """A field of random values, always the same for the same keys."""
    about = {"dataDate": int(date), "dataTime": 0, "class": "od", "type": "pf" if number else "fc"}
    about |= {"stream": "enfo" if number else "oper", "expver": expver or GRIDS[grid]}
    if number:
        about = {"productDefinitionTemplateNumber": 1, **about}
    handle = eccodes.codes_clone(template(grid))
    try:
        for key, value in about.items():
            eccodes.codes_set(handle, key, value)
        if level:
            eccodes.codes_set(handle, "typeOfLevel", "isobaricInhPa")
        eccodes.codes_set(handle, "paramId", int(param))
        if level:
            eccodes.codes_set(handle, "level", int(level))
        if param == "228":
            eccodes.codes_set(handle, "stepRange", f"0-{step}")
        else:
            eccodes.codes_set(handle, "step", int(step))
        if number:
            eccodes.codes_set(handle, "numberOfForecastsInEnsemble", 50)
            eccodes.codes_set(handle, "perturbationNumber", int(number))
        name = "/".join(map(str, (grid, param, date, step, level, number)))
        random = np.random.default_rng(zlib.crc32(name.encode()))
        values = random.normal(280, 20, size_of(grid)) + shift
        if missing:
            eccodes.codes_set(handle, "bitmapPresent", 1)
            eccodes.codes_set(handle, "missingValue", 9999.0)
            values[random.random(len(values)) < _MISSING] = 9999.0
        eccodes.codes_set(handle, "bitsPerValue", 16)
        eccodes.codes_set_values(handle, values)
        eccodes.codes_set(handle, "packingType", packing)
        decoded = eccodes.codes_get_array(handle, "values")
        decoded[decoded == 9999.0] = np.nan
        keys = {**LABEL, "expver": expver or GRIDS[grid], "date": date, "step": step, "param": param}
        keys |= {"stream": "enfo", "type": "pf", "number": number} if number else {}
        keys |= {"levtype": "pl", "levelist": level} if level else {"levtype": "sfc"}
        return Field(keys, bytes(eccodes.codes_get_message(handle)), decoded)
    finally:
        eccodes.codes_release(handle)


@cache
def coordinates(grid: str) -> tuple[Any, Any]:
    """Latitudes and longitudes of the grid's points, as ecCodes has them."""
    handle = template(grid)
    return tuple(np.asarray(eccodes.codes_get_array(handle, key)) for key in ("latitudes", "longitudes"))


def nearest(grid: str, latitude: float, longitude: float) -> int:
    """The index of the nearest point on the sphere; at a pole that of the nearest longitude."""
    latitudes, longitudes = map(np.radians, coordinates(grid))
    lat, lon = np.radians(latitude), np.radians(longitude)
    turn = np.abs((longitudes - lon + np.pi) % (2 * np.pi) - np.pi)
    square = np.sin((latitudes - lat) / 2) ** 2 + np.cos(latitudes) * np.cos(lat) * np.sin(turn / 2) ** 2
    near = np.flatnonzero(square <= square.min() * (1 + 1e-9))
    return int(near[np.argmin(turn[near])])


def size_of(grid: str) -> int:
    return int(eccodes.codes_get(template(grid), "numberOfDataPoints"))


@cache
def template(grid: str) -> int:
    """A message on the grid, with a local section, and real values: grid_ccsds crashes on zeros."""
    kind, keys = _SHAPES[grid]
    handle: int = eccodes.codes_grib_new_from_samples(kind)
    if grid == "octahedral":
        half = [4 * i + 16 for i in range(1, 33)]
        eccodes.codes_set_array(handle, "pl", half + half[::-1])
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    count = int(eccodes.codes_get(handle, "numberOfDataPoints"))
    eccodes.codes_set_values(handle, np.linspace(1.0, 2.0, _COUNTS.get(grid, count)))
    for key, value in {"tablesVersion": 33, "setLocalDefinition": 1, "localDefinitionNumber": 1}.items():
        eccodes.codes_set(handle, key, value)
    return handle


def _rectangle(
    columns: int, rows: int, north: float, south: float, west: float, east: float, **keys: Any
) -> Any:
    return "regular_ll_pl_grib2", {
        "Ni": columns,
        "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": north,
        "latitudeOfLastGridPointInDegrees": south,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": east,
        "iDirectionIncrementInDegrees": (east - west) % 360 / (columns - 1),
        "jDirectionIncrementInDegrees": abs(north - south) / (rows - 1),
        **keys,
    }


def _healpix(order: str) -> Any:
    keys = {"gridType": "healpix", "Nside": 16, "orderingConvention": order}
    return "GRIB2", {**keys, "longitudeOfFirstGridPointInDegrees": 45}


_SHAPES: dict[str, Any] = {
    "octahedral": ("reduced_gg_pl_32_grib2", {"longitudeOfLastGridPointInDegrees": 360 - 360 / 144}),
    "reduced": ("reduced_gg_pl_32_grib2", {}),
    "gaussian": ("regular_gg_pl_grib2", {}),
    "regular": _rectangle(120, 61, 90, -90, 0, 357),
    "northwards": _rectangle(120, 61, -90, 90, 0, 357, jScansPositively=1),
    "local": _rectangle(101, 61, 60, 30, 340, 30),
    "ring": _healpix("ring"),
    "nested": _healpix("nested"),
}
_COUNTS = {
    "octahedral": 5248,
    "ring": 3072,
    "nested": 3072,
    "regular": 7320,
    "northwards": 7320,
    "local": 6161,
}


def fill(root: Path, grids: Any = GRIDS, shift: float = 0.0) -> dict[str, Any]:
    """Make an FDB below a folder with the fields of some grids; returns its configuration."""
    import pyfdb

    root.mkdir(parents=True, exist_ok=True)
    (root / "schema").write_text(FILED)
    (root / "data").mkdir(exist_ok=True)
    config = demo.configuration(root)
    fdb = pyfdb.FDB(config)
    for grid in grids:
        for one in fields(grid, shift):
            fdb.archive(one.message)
    fdb.flush()
    return config
