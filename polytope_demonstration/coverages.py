"""Coverages of CoverageJSON, as far as the demonstration draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polytope_demonstration.weather import Array


@dataclass(frozen=True)
class Coverage:
    """Values of some parameters along one axis: times, levels, or points of an area."""

    keys: Mapping[str, Any]
    axes: Mapping[str, Any]
    values: Mapping[str, Array]

    @property
    def point(self) -> tuple[float, float]:
        """Latitude and longitude, from -180 to 180 degrees, of a coverage at one point."""
        return float(self.axes["latitude"][0]), float(_from_greenwich(self.axes["longitude"][0]))

    @property
    def points(self) -> Array:
        """Latitudes and longitudes of a coverage of an area, a row for each point."""
        latitudes, longitudes, *_ = np.array(self.axes["composite"], float).T
        return np.stack((latitudes, _from_greenwich(longitudes)), axis=1)


@dataclass(frozen=True)
class Collection:
    """What one request has brought."""

    coverages: list[Coverage]
    units: Mapping[str, str]
    names: Mapping[str, str]

    def __str__(self) -> str:
        count = sum(len(values) for one in self.coverages for values in one.values.values())
        several = len(self.coverages) > 1
        return f"{count} values of {', '.join(self.names.values())} in {len(self.coverages)} " + (
            "coverages" if several else "coverage"
        )


def _from_greenwich(longitudes: Any) -> Any:
    """West of Greenwich comes as 350 degrees, say."""
    return (longitudes + 180) % 360 - 180


def load(path: Path) -> Collection:
    """The coverages of a file."""
    found = json.loads(path.read_text())
    parameters = found["parameters"].items()
    return Collection(
        [_read(one) for one in found["coverages"]],
        {name: about["unit"]["symbol"] for name, about in parameters},
        {name: about["description"]["en"] for name, about in parameters},
    )


def _read(coverage: Mapping[str, Any]) -> Coverage:
    # `null` where a field has no value.
    return Coverage(
        coverage["mars:metadata"],
        {name: axis["values"] for name, axis in coverage["domain"]["axes"].items()},
        {name: np.array(one["values"], float) for name, one in coverage["ranges"].items()},
    )
