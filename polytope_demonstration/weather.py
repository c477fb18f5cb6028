"""A made-up, smooth atmosphere: lows and highs that travel, winds that blow around them.

The pressure at sea level is a sum of few analytic terms, so that its gradient, and with it the wind, is
exact. The planet is all sea, and without seasons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GRAVITY = 9.80665
"""Standard gravity, m s-2."""
EARTH_RADIUS = 6.371229e6
"""Radius of the Earth in GRIB (shape 6), m."""
EARTH_ROTATION = 7.292115e-5
"""Angular velocity of the Earth, s-1."""

_DRY_AIR = 287.05  # specific gas constant, J kg-1 K-1
_DENSITY = 1.2  # of air at the surface, kg m-3
_LAPSE_RATE = 6.0e-3  # K m-1
_DRY_ABOVE = 101_200.0  # Pa, at sea level
_FRONTS, _FRONT_SPEED = 9, 18.0  # around the globe; degrees a day
_DEGREE = np.pi / 180


@dataclass(frozen=True)
class Wave:
    """A wave in one hemisphere: `amplitude` Pa, wave `number` around the globe, `speed` degrees a day."""

    amplitude: float
    number: int
    latitude: float
    speed: float
    phase: float


@dataclass(frozen=True)
class Vortex:
    """A low (`depth` < 0) or high, in Pa, that moves eastwards at `speed` degrees a day."""

    depth: float
    latitude: float
    longitude: float
    radius: float
    speed: float


_WAVES = (
    Wave(1000, 5, 48, 9, 20),
    Wave(700, 3, 58, 4, 100),
    Wave(1000, 6, -50, 11, 60),
    Wave(600, 4, -60, 6, 10),
)
_VORTICES = (
    Vortex(-3600, 56, -22, 9, 8),
    Vortex(-2600, 48, 168, 8, 10),
    Vortex(-1800, 61, 62, 8, 7),
    Vortex(-1500, 40, -62, 6, 12),
    Vortex(1700, 42, 18, 12, 3),
    Vortex(1300, 36, -135, 12, 2),
    Vortex(-3000, -54, 35, 9, 11),
    Vortex(-2700, -58, 140, 9, 10),
    Vortex(-2200, -50, -95, 8, 12),
    Vortex(1500, -34, -10, 12, 3),
    Vortex(1400, -33, 88, 12, 3),
    Vortex(-2200, 17, 135, 3.5, -4),
)


@dataclass(frozen=True)
class Variant:
    """How a member of an ensemble differs: `ahead` by days, with lows and highs that are `stronger` by a
    factor, and `warmer` by so many K."""

    ahead: float = 0.0
    stronger: float = 1.0
    warmer: float = 0.0


_AS_IT_IS = Variant()


@dataclass(frozen=True)
class Pressure:
    """Pressure at mean sea level, Pa, and its derivatives with longitude and latitude, Pa per radian."""

    value: Array
    along: Array
    across: Array


class Atmosphere:
    """The atmosphere at points of the globe (latitudes and longitudes in degrees)."""

    def __init__(self, latitudes: Array, longitudes: Array) -> None:
        self._phi, self._lambda = latitudes * _DEGREE, longitudes * _DEGREE
        self._sin, self._cos = np.sin(self._phi), np.cos(self._phi)

    def pressure(self, days: float, variant: Variant = _AS_IT_IS) -> Pressure:
        """Pressure at mean sea level, `days` after an arbitrary start."""
        # Low at the equator and at 60 degrees, high at 30 degrees and at the poles.
        value = 101_300 - 700 * np.cos(6 * self._phi) * self._cos
        across = 4200 * np.sin(6 * self._phi) * self._cos + 700 * np.cos(6 * self._phi) * self._sin
        along = np.zeros_like(value)
        then = days + variant.ahead
        for term in (
            *(self._wave(wave, then) for wave in _WAVES),
            *(self._vortex(vortex, then) for vortex in _VORTICES),
        ):
            value = value + variant.stronger * term.value
            along = along + variant.stronger * term.along
            across = across + variant.stronger * term.across
        return Pressure(value, along, across)

    def _wave(self, wave: Wave, days: float) -> Pressure:
        width = 14 * _DEGREE
        distance = (self._phi - wave.latitude * _DEGREE) / width
        # The cosine makes it vanish at the poles, where meridians meet.
        envelope = wave.amplitude * np.exp(-(distance**2)) * self._cos
        slope = envelope * -2 * distance / width - wave.amplitude * np.exp(-(distance**2)) * self._sin
        angle = wave.number * (self._lambda - wave.speed * days * _DEGREE) + wave.phase * _DEGREE
        return Pressure(
            envelope * np.cos(angle), -wave.number * envelope * np.sin(angle), slope * np.cos(angle)
        )

    def _vortex(self, vortex: Vortex, days: float) -> Pressure:
        """exp((cos d - 1) / r2), d the distance from the centre: a Gaussian that knows the globe is round."""
        phi = vortex.latitude * _DEGREE
        away = self._lambda - (vortex.longitude + vortex.speed * days) * _DEGREE
        squared = (vortex.radius * _DEGREE) ** 2
        cosine = self._sin * np.sin(phi) + self._cos * np.cos(phi) * np.cos(away)
        value = vortex.depth * np.exp((cosine - 1) / squared)
        along = value / squared * -self._cos * np.cos(phi) * np.sin(away)
        across = value / squared * (self._cos * np.sin(phi) - self._sin * np.cos(phi) * np.cos(away))
        return Pressure(value, along, across)

    def wind(self, pressure: Pressure) -> tuple[Array, Array]:
        """Eastward and northward wind at 10 m, m s-1: the geostrophic one, slowed and turned by friction.

        u = -p_y / (rho f), v = p_x / (rho f) (Holton, An Introduction to Dynamic Meteorology, 2.4.1), with
        f / (f2 + f02) for 1 / f, which vanishes at the equator instead of growing without bound.
        """
        coriolis, least = 2 * EARTH_ROTATION * self._sin, 2 * EARTH_ROTATION * np.sin(20 * _DEGREE)
        inverse = coriolis / (coriolis**2 + least**2) / (_DENSITY * EARTH_RADIUS)
        u, v = -inverse * pressure.across, inverse * pressure.along / np.maximum(self._cos, 0.02)
        # Towards the lower pressure: to the left in the north, to the right in the south.
        turn = 20 * _DEGREE * np.tanh(self._phi / (10 * _DEGREE))
        return (
            0.6 * (u * np.cos(turn) - v * np.sin(turn)),
            0.6 * (u * np.sin(turn) + v * np.cos(turn)),
        )

    def rain(self, days: float, pressure: Pressure, variant: Variant = _AS_IT_IS) -> Array:
        """Rain, m h-1: in lows, and in fronts that follow each other at middle latitudes."""
        in_lows = 2.5e-5 * (np.maximum(_DRY_ABOVE - pressure.value, 0) / 100) ** 1.2 * self._cos
        away = self._lambda - _FRONT_SPEED * (days + variant.ahead) * _DEGREE
        width = 15 * _DEGREE
        envelope = np.exp(-(((np.abs(self._phi) - 50 * _DEGREE) / width) ** 2))
        in_fronts = 1.5e-3 * envelope * np.maximum(np.cos(_FRONTS * away) - 0.4, 0)
        return np.asarray(in_lows + variant.stronger * in_fronts)

    def surface_temperature(self, days: float, northward: Array) -> Array:
        """Temperature at 2 m, K: from the latitude, the wind that brings it, and the time of day."""
        hours = 24 * days + self._lambda / _DEGREE / 15
        daily = 1.5 * self._cos * np.cos((hours - 14) * 15 * _DEGREE)
        return np.asarray(self._mean_temperature() + 0.75 * northward * self._sin + daily)

    def _mean_temperature(self) -> Array:
        return np.asarray(301 - 22 * self._sin**2 - 24 * self._sin**4 - 3 * self._sin)

    def temperature(self, level: float, northward: Array) -> Array:
        """Temperature at a pressure `level` in hPa, K: falls with height at a constant rate."""
        return (self._mean_temperature() + 0.55 * northward * self._sin) * self._ratio(level)

    def geopotential(self, level: float, pressure: Pressure, northward: Array) -> Array:
        """Geopotential at a pressure `level` in hPa, m2 s-2.

        The hypsometric equation for a constant lapse rate (the U.S. Standard Atmosphere, 1976, equation
        33a, solved for height), above the height at which the pressure is 1000 hPa.
        """
        warmth = self._mean_temperature() + 0.55 * northward * self._sin
        base = (pressure.value - 100_000) / (_DENSITY * GRAVITY)
        return np.asarray(GRAVITY * (base + warmth / _LAPSE_RATE * (1 - self._ratio(level))))

    @staticmethod
    def _ratio(level: float) -> float:
        """The temperature at `level` over that at 1000 hPa."""
        return float((level / 1000) ** (_DRY_AIR * _LAPSE_RATE / GRAVITY))
