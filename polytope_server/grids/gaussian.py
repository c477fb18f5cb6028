"""Latitudes of Gaussian grids: the roots of a Legendre polynomial."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from polytope_server.grids.ranges import Floats

#: Of rows between a pole and the equator. The finest grids in use have 8,000; the work grows with the square.
MAX_NUMBER = 16_384
_ITERATIONS = 10


@lru_cache(maxsize=32)
def gaussian_latitudes(number: int) -> Floats:
    """The `2 * number` latitudes of a Gaussian grid in degrees, from north to south.

    Args:
        number: Of rows between a pole and the equator: 1280 for N1280 and O1280.

    Returns:
        An array that must not be written to: it is kept.
    """
    if not 1 <= number <= MAX_NUMBER:
        raise ValueError(f"a Gaussian grid has 1 to {MAX_NUMBER} rows between pole and equator, not {number}")
    degree = 2 * number
    roots = _guess_roots(degree)
    for _ in range(_ITERATIONS):
        change = _newton_step(degree, roots)
        roots -= change
        # The error that is left is the square of the change, times at most 1 / (1 - root**2).
        if float(np.abs(change).max()) < 1e-11:
            break
    northern = np.degrees(np.arcsin(roots))
    latitudes: Floats = np.concatenate((northern, -northern[::-1]))
    latitudes.flags.writeable = False
    return latitudes


def _guess_roots(degree: int) -> Floats:
    """The positive roots, to the fourth order of 1/degree (Abramowitz and Stegun, 22.16.6)."""
    angles = np.pi * (4 * np.arange(1, degree // 2 + 1) - 1) / (4 * degree + 2)
    roots: Floats = np.cos(angles + 1 / (8 * degree**2 * np.tan(angles)))
    return roots


def _newton_step(degree: int, x: Floats) -> Floats:
    """`P(x) / P'(x)` of the Legendre polynomial of that degree, by its recurrence."""
    before, value = np.ones_like(x), x.copy()
    for n in range(2, degree + 1):
        before, value = value, ((2 - 1 / n) * x) * value - (1 - 1 / n) * before
    slope = degree * (before - x * value) / (1 - x * x)
    step: Floats = value / slope
    return step
