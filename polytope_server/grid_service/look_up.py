"""Finds the grid of the first field that fits a request, described as the published library takes it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polytope_server.datasource.fdb.environment import prepare_eckit
from polytope_server.datasource.fdb.files import path_of
from polytope_server.datasource.polytope.headers import opened, read_header

#: Grids that are remembered.
_MOST = 1024
#: Radii in metres of the shapes of the Earth that are spheres (GRIB 2, code table 3.2).
_SPHERES = {0: 6_367_470, 6: 6_371_229}
#: Angles of a Lambert grid in radians, by the keys of ecCodes that have them in degrees.
_ANGLES = {
    "latFirstInRadians": "latitudeOfFirstGridPointInDegrees",
    "lonFirstInRadians": "longitudeOfFirstGridPointInDegrees",
    "LoVInRadians": "LoVInDegrees",
    "Latin1InRadians": "Latin1InDegrees",
    "Latin2InRadians": "Latin2InDegrees",
    "LaDInRadians": "LaDInDegrees",
}

Grid = tuple[dict[str, Any], str]
"""What describes a grid, and the sum by which its fields are known."""


class LookUpError(ValueError):
    """There is no answer for this request. The message is for the caller."""


class LookUp:
    """Looks into one FDB; what it has found is remembered."""

    def __init__(self, fdb_config: Path | None) -> None:
        """`fdb_config` is the file with the configuration of the FDB; None for that of the environment."""
        self._config = fdb_config
        self._known: OrderedDict[str, Grid] = OrderedDict()

    def find(self, request: Mapping[str, Any]) -> Grid:
        """The grid of the first field of a request. Raises LookUpError, OSError, RuntimeError."""
        georef = request.get("georef")
        if not isinstance(georef, str) or not georef:
            raise LookUpError("request.georef is required")
        # An FDB that files fields by it has one grid for each; another one finds the field by the other keys.
        for key in (georef, json.dumps(request, sort_keys=True)):
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        grid, is_filed = self._read(request)
        self._known[georef if is_filed else json.dumps(request, sort_keys=True)] = grid
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return grid

    def _read(self, request: Mapping[str, Any]) -> tuple[Grid, bool]:
        """The grid of a request, and whether the FDB files fields by `georef`."""
        try:
            element = self._find_field(dict(request))
        except LookUpError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, RuntimeError) and "UserError" not in str(error):
                raise
            raise LookUpError("the FDB cannot read this request") from None
        if element is None:
            raise LookUpError("the FDB has no field of this request")
        with opened(read_header(path_of(element.uri), element.offset(), element.length())) as handle:
            return describe(handle), bool(element.combined_key().get("georef"))

    def _find_field(self, request: dict[str, Any]) -> Any:
        prepare_eckit()
        import pyfdb

        fdb = pyfdb.FDB(self._config)
        found = next(iter(fdb.list(request)), None)
        if found is None:
            # An FDB that does not file fields by it finds none that has it.
            del request["georef"]
            if not request:
                raise LookUpError("the FDB has no field with this georef; the request must have further keys")
            found = next(iter(fdb.list(request)), None)
            if found is not None and found.combined_key().get("georef"):
                return None
        return found


def describe(handle: int) -> Grid:
    """The grid of a message. LookUpError for one that needs no description."""
    import eccodes

    kind = eccodes.codes_get_string(handle, "gridType")
    if kind not in _DESCRIBED:
        raise LookUpError(f"fields are on a grid of the type {kind}; expected {' or '.join(_DESCRIBED)}")
    return _DESCRIBED[kind](handle), eccodes.codes_get_string(handle, "md5GridSection")


def _describe_lambert(handle: int) -> dict[str, Any]:
    import math

    import eccodes

    def get(key: str) -> Any:
        return eccodes.codes_get(handle, key)

    shape = get("shapeOfTheEarth")
    described = {
        "type": "lambert_conformal",
        "earth_round": shape in _SPHERES,
        "radius": _SPHERES.get(shape),
        "nv": get("NV"),
        "nx": get("Nx"),
        "ny": get("Ny"),
        "LoVInDegrees": get("LoVInDegrees"),
        "Dx": get("DxInMetres"),
        "Dy": get("DyInMetres"),
        **{name: math.radians(get(key)) for name, key in _ANGLES.items()},
    }
    if shape not in _SPHERES:
        axes = ("earthMinorAxisInMetres", "earthMajorAxisInMetres")
        described |= {key: get(key) for key in axes if eccodes.codes_is_defined(handle, key)}
    return described


_DESCRIBED: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "lambert_lam": _describe_lambert,
    # Its points are in a file of the grid, which the published library knows.
    "icon": lambda _: {},
}
