"""Names of axes and the order of coordinates: as today's clients decode them, or as the standard has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from polytope_server.datasource.polytope.arrays import Floats
from polytope_server.datasource.polytope.coverage import labels

_GEOGRAPHIC = {"type": "GeographicCRS", "id": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}
_TEMPORAL = {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}}

#: Features whose coordinates the published encoders call by their names.
_NAMED = frozenset({"timeseries", "position", "verticalprofile", "boundingbox", "circle"})
_NAMES = ["latitude", "longitude", "levelist"]

POINT_SERIES, VERTICAL_PROFILE, MULTI_POINT, TRAJECTORY = (
    "PointSeries",
    "VerticalProfile",
    "MultiPoint",
    "Trajectory",
)


class Style(ABC):
    """How coverages name and order what they have."""

    @abstractmethod
    def referencing(self, domain: str, kind: str) -> list[dict[str, Any]]:
        """The reference systems of a collection with domains of this type, for a feature of this type."""

    @abstractmethod
    def point_axes(
        self, latitude: float, longitude: float, levels: Sequence[Any], times: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        """The axes of a coverage at one point."""

    @abstractmethod
    def columns(self, latitudes: Floats, longitudes: Floats) -> list[Floats]:
        """Coordinates of points in their order within a tuple."""

    @abstractmethod
    def area_time(self, keys: Mapping[str, str]) -> str:
        """The time of a coverage of an area."""

    @abstractmethod
    def path_time(self, keys: Mapping[str, str]) -> Any:
        """The time of a point of a path."""

    @abstractmethod
    def range_axis(self, domain: str, name: str) -> str:
        """The name of the axis along which the values of a parameter run."""

    def coordinates(self, domain: str, kind: str) -> list[str]:
        """The names of the coordinates of a tuple."""
        return ["t", "x", "y", "z"] if domain == TRAJECTORY else ["x", "y", "z"]


class Published(Style):
    """As polytope-mars writes them, for covjsonkit and earthkit-data: latitudes first, even as `x`."""

    def referencing(self, domain: str, kind: str) -> list[dict[str, Any]]:
        return [{"coordinates": self.coordinates(domain, kind), "system": _GEOGRAPHIC}]

    def coordinates(self, domain: str, kind: str) -> list[str]:
        return _NAMES if kind in _NAMED else super().coordinates(domain, kind)

    def point_axes(
        self, latitude: float, longitude: float, levels: Sequence[Any], times: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        return {"latitude": [latitude], "longitude": [longitude], "levelist": levels, "t": times}

    def columns(self, latitudes: Floats, longitudes: Floats) -> list[Floats]:
        return [latitudes, longitudes]

    def area_time(self, keys: Mapping[str, str]) -> str:
        # Decoders find the coverages of one forecast by it; the step is in the metadata.
        start = labels.reference_time(keys)
        return labels.iso(start) if start else ""

    def path_time(self, keys: Mapping[str, str]) -> Any:
        return labels.number(keys.get("step", "") or "0")

    def range_axis(self, domain: str, name: str) -> str:
        return "levelist" if domain == VERTICAL_PROFILE else name


class Standard(Style):
    """As the CoverageJSON specification has them: `x` is the longitude, `t` the time that a value is for."""

    def referencing(self, domain: str, kind: str) -> list[dict[str, Any]]:
        return [{"coordinates": ["x", "y", "z"], "system": _GEOGRAPHIC}, _TEMPORAL]

    def point_axes(
        self, latitude: float, longitude: float, levels: Sequence[Any], times: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        return {"x": [longitude], "y": [latitude], "z": levels, "t": times}

    def columns(self, latitudes: Floats, longitudes: Floats) -> list[Floats]:
        return [longitudes, latitudes]

    def area_time(self, keys: Mapping[str, str]) -> str:
        return labels.valid_time(keys)

    def path_time(self, keys: Mapping[str, str]) -> Any:
        return labels.valid_time(keys)

    def range_axis(self, domain: str, name: str) -> str:
        return {POINT_SERIES: "t", VERTICAL_PROFILE: "z"}.get(domain, "composite")


STYLES: Mapping[str, Style] = {"published": Published(), "standard": Standard()}
