"""The grid that a configuration describes: the `mapper` among the transformations of `axis_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polytope_server.grids.grid import RowGrid
from polytope_server.grids.healpix import healpix
from polytope_server.grids.makers import octahedral, rectangle, reduced_gaussian
from polytope_server.grids.ranges import Integers


def from_mapper(mapper: Mapping[str, Any]) -> RowGrid | None:
    """The grid that a mapper of polytope-mars describes.

    Args:
        mapper: With the keys `type` and `resolution`; `local`, `axes`, `axis_reversed` and `md5_hash` if it
            has them.

    Returns:
        The grid, with the `md5_hash` of the mapper. None if the mapper does not determine it: grids without a
        closed form, and reduced ones for which ecCodes has no numbers of points.

    Raises:
        ValueError: A value is missing, or is not what its key means.
    """
    kind, md5 = mapper.get("type"), mapper.get("md5_hash")
    if kind == "local_regular":
        return _make_local(mapper)
    if kind not in ("octahedral", "reduced_gaussian", "regular", "healpix", "healpix_nested"):
        return None
    number = _read_number(mapper.get("resolution"), "resolution")
    if kind == "octahedral":
        return octahedral(number, md5)
    if kind == "reduced_gaussian":
        counts = _find_counts(number)
        return None if counts is None else reduced_gaussian(number, counts, md5=md5)
    if kind == "regular":
        return _make_regular(mapper, number)
    return healpix(number, kind == "healpix_nested", md5)


def _make_regular(mapper: Mapping[str, Any], number: int) -> RowGrid | None:
    """The whole Earth, `number` spacings from a pole to the equator, with rows at both poles."""
    northwards = _runs_northwards(mapper, usual=False)
    if northwards is None:
        return None
    latitudes = np.linspace(90, -90, 2 * number + 1)
    return rectangle(
        latitudes[::-1] if northwards else latitudes, 0, 90 / number, 4 * number, md5=mapper.get("md5_hash")
    )


def _make_local(mapper: Mapping[str, Any]) -> RowGrid | None:
    """Rows from the first to the second of `local`, columns from the third to the fourth, ends included."""
    area, resolution = mapper.get("local"), mapper.get("resolution")
    if not isinstance(area, list | tuple) or len(area) != 4:
        raise ValueError(f"local of a mapper local_regular is [south, north, west, east], not {area!r}")
    south, north, west, east = (float(end) for end in area)
    if not (-90 <= south <= north <= 90 and west <= east):
        raise ValueError(f"local is [south, north, west, east] in degrees, not {area!r}")
    intervals = resolution if isinstance(resolution, list | tuple) else [resolution, resolution]
    if len(intervals) != 2:
        raise ValueError(f"resolution is one or two numbers of spacings, not {resolution!r}")
    down, across = (_read_number(number, "resolution") for number in intervals)
    northwards = _runs_northwards(mapper, usual=True)
    if northwards is None:
        return None
    latitudes = np.linspace(south, north, down + 1)
    return rectangle(
        latitudes if northwards else latitudes[::-1],
        west,
        (east - west) / across,
        across + 1,
        md5=mapper.get("md5_hash"),
    )


def _runs_northwards(mapper: Mapping[str, Any], usual: bool) -> bool | None:
    """Whether rows run from south to north; None if columns run from east to west, which no data do."""
    turned = mapper.get("axis_reversed") or {}
    latitude, longitude = mapper.get("axes") or ("latitude", "longitude")
    return None if turned.get(longitude) else not turned.get(latitude, not usual)


def _read_number(value: Any, key: str) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise ValueError(f"{key} of a mapper is a whole number from 1, not {value!r}")
    return int(value)


def _find_counts(number: int) -> Integers | None:
    """The points of the rows of the classic reduced Gaussian grid, from the samples that ecCodes brings."""
    import eccodes

    try:
        handle = eccodes.codes_grib_new_from_samples(f"reduced_gg_pl_{number}_grib2")
    except eccodes.CodesInternalError:
        return None
    try:
        counts: Integers = np.asarray(eccodes.codes_get_array(handle, "pl"), np.int64)
        return counts
    finally:
        eccodes.codes_release(handle)
