"""The demonstration's ensemble: members whose weather drifts apart from the same start.

GRIB edition 2 on the octahedral grid O32 (2.8 degrees), labelled as perturbed members of an ensemble
forecast of experiment version `0001`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

import numpy as np

from polytope_demonstration import fields
from polytope_demonstration.fields import Label
from polytope_demonstration.weather import Array, Variant

MEMBERS = tuple(range(1, 9))
"""Numbers of the members."""
STEPS = tuple(range(0, 97, 6))
"""Hours after the start of the forecast."""
PARAMETERS = ("2t", "10u", "10v", "msl", "tp")
"""Short names of the fields, all at the surface. There is no field of rain before any has fallen."""

GRID = 32
#: What a member is ahead by, is stronger by and is warmer by, after a day: standard deviations.
_AHEAD, _STRONGER, _WARMER = 0.12, 0.05, 0.35


def messages(day: date) -> Iterator[bytes]:
    """All fields of the ensemble that starts at 00 UTC of `day`."""
    for member in MEMBERS:
        for label, values in forecast(day, member):
            yield fields.encode(label, values, GRID)


def forecast(day: date, member: int) -> Iterator[tuple[Label, Array]]:
    """The fields of one member, step by step."""
    fallen, before = np.zeros(len(fields.coordinates(GRID)[0])), 0
    for step in STEPS:
        values = compute(day, step, member)
        # As much in each of the hours since the step before as at the end of them.
        fallen, before = fallen + values["tp"] * (step - before), step
        values["tp"] = fallen
        for param in PARAMETERS:
            if param != "tp" or step:
                yield Label(param, day, step, member=member), values[param]


def compute(day: date, step: int, member: int) -> dict[str, Array]:
    """The values of all fields at one time; of the rain, what falls in an hour."""
    air = fields.atmosphere(GRID)
    days = fields.days_since_start(day, step)
    variant = _variant(day, step / 24, member)
    pressure = air.pressure(days, variant)
    u, v = air.wind(pressure)
    warmth = air.surface_temperature(days, v) + variant.warmer
    rain = air.rain(days, pressure, variant)
    return {"2t": warmth, "10u": u, "10v": v, "msl": pressure.value, "tp": rain}


def _variant(day: date, ahead: float, member: int) -> Variant:
    """How a member differs `ahead` days after the start; always the same for the same member and day."""
    shift, strength, warmth = _chances(day, member)
    return Variant(_AHEAD * ahead * shift, 1 + _STRONGER * ahead * strength, _WARMER * ahead * warmth)


@lru_cache(maxsize=64)
def _chances(day: date, member: int) -> tuple[float, float, float]:
    shift, strength, warmth = np.random.default_rng([day.toordinal(), member]).normal(size=3)
    return float(shift), float(strength), float(warmth)
