"""The demonstration's fields as GRIB messages: two forecasts of a made-up atmosphere.

GRIB edition 2 on the octahedral grid O64 (1.4 degrees), labelled as an operational forecast of
experiment version `0001`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

import eccodes
import numpy as np

from polytope_demonstration.weather import Array, Atmosphere

SURFACE = {"2t": 167, "10u": 165, "10v": 166, "msl": 151}
"""Fields at the surface: short name and parameter number."""
ACCUMULATED = {"tp": 228}
"""Fields of what has fallen since the start; only the ensemble has them."""
UPPER = {"t": 130, "z": 129}
"""Fields on pressure levels."""
LEVELS = (1000, 925, 850, 700, 600, 500, 400, 300, 250, 200)
"""Pressure levels, hPa."""
STEPS = tuple(range(0, 49, 6))
"""Hours after the start of a forecast."""

GRID = 64
_START = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Label:
    """What one field is called."""

    param: str
    day: date
    step: int = 0
    level: int | None = None
    expver: str = "0001"
    member: int | None = None


def labels(day: date) -> Iterator[Label]:
    """The labels of all fields of the forecast that starts at 00 UTC of `day`."""
    for step in STEPS:
        for param in SURFACE:
            yield Label(param, day, step)
        for param in UPPER:
            for level in LEVELS:
                yield Label(param, day, step, level)


def messages(day: date) -> Iterator[bytes]:
    """All fields of the forecast that starts at 00 UTC of `day`."""
    for step in STEPS:
        values = compute(day, step)
        for label in (label for label in labels(day) if label.step == step):
            yield encode(label, values[label.param, label.level])


def message(label: Label) -> bytes:
    """One field."""
    return encode(label, compute(label.day, label.step)[label.param, label.level])


def compute(day: date, step: int, grid: int = GRID) -> dict[tuple[str, int | None], Array]:
    """The values of all fields at one time, by parameter and level (None at the surface)."""
    air = atmosphere(grid)
    days = days_since_start(day, step)
    pressure = air.pressure(days)
    u, v = air.wind(pressure)
    values: dict[tuple[str, int | None], Array] = {
        ("2t", None): air.surface_temperature(days, v),
        ("10u", None): u,
        ("10v", None): v,
        ("msl", None): pressure.value,
    }
    for level in LEVELS:
        values["t", level] = air.temperature(level, v)
        values["z", level] = air.geopotential(level, pressure, v)
    return values


def days_since_start(day: date, step: int) -> float:
    """The time of a field of the forecast of `day`, in the days that the atmosphere counts."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (start - _START).days + step / 24


def encode(label: Label, values: Array, grid: int = GRID) -> bytes:
    """The GRIB message of a field; `values` in the order of :func:`coordinates`."""
    labelled = _labelled(grid, label.param, label.level is not None, label.member is not None)
    handle = eccodes.codes_clone(labelled)
    try:
        for key, value in _keys(label).items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, values)
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def _keys(label: Label) -> dict[str, int | str]:
    """What fields of one parameter differ by."""
    keys: dict[str, int | str] = {"expver": label.expver, "dataDate": int(f"{label.day:%Y%m%d}")}
    if label.level is not None:
        keys["level"] = label.level
    if label.member is not None:
        keys["perturbationNumber"] = label.member
    key, value = ("stepRange", f"0-{label.step}") if label.param in ACCUMULATED else ("step", label.step)
    return {**keys, key: value}


@lru_cache(maxsize=64)
def _labelled(grid: int, param: str, on_a_level: bool, of_a_member: bool) -> int:
    """A message of a parameter. PERF: most of the time goes into finding what makes a parameter in GRIB."""
    handle: int = eccodes.codes_clone(_template(grid))
    keys: dict[str, int | str] = {"dataTime": 0, "class": "od", "type": "fc", "stream": "oper"}
    if of_a_member:
        # The template comes first: it has the keys of members.
        keys = {"productDefinitionTemplateNumber": 1, **keys, "type": "pf", "stream": "enfo"}
    if on_a_level:
        keys["typeOfLevel"] = "isobaricInhPa"
    keys["paramId"] = (SURFACE | UPPER | ACCUMULATED)[param]
    if of_a_member:
        keys["numberOfForecastsInEnsemble"] = 50
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    return handle


def coordinates(grid: int = GRID) -> tuple[Array, Array]:
    """Latitudes and longitudes of the grid's points, degrees."""
    template = _template(grid)
    return (
        np.asarray(eccodes.codes_get_array(template, "latitudes")),
        np.asarray(eccodes.codes_get_array(template, "longitudes")),
    )


@lru_cache(maxsize=4)
def atmosphere(grid: int = GRID) -> Atmosphere:
    """The atmosphere at the points of a grid."""
    return Atmosphere(*coordinates(grid))


@lru_cache(maxsize=4)
def _template(grid: int) -> int:
    """A message on the octahedral grid O`grid`, with a local section for class, stream and expver.

    O`n` has 4 i + 16 points on the i-th latitude from a pole (Malardel et al., ECMWF Newsletter 146, 2016).
    """
    half = [4 * i + 16 for i in range(1, grid + 1)]
    points = half + half[::-1]
    handle: int = eccodes.codes_grib_new_from_samples(f"reduced_gg_pl_{grid}_grib2")
    eccodes.codes_set_array(handle, "pl", points)
    eccodes.codes_set(handle, "longitudeOfLastGridPointInDegrees", 360 - 360 / max(points))
    # Real values first: grid_ccsds crashes on a field of nothing but zeros with the bits set before.
    eccodes.codes_set_values(handle, np.linspace(0.0, 1.0, sum(points)))
    for key, value in {
        "tablesVersion": 33,
        "setLocalDefinition": 1,
        "localDefinitionNumber": 1,
        "bitsPerValue": 16,
        "packingType": "grid_ccsds",
    }.items():
        eccodes.codes_set(handle, key, value)
    return handle
