"""The grid of a GRIB message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polytope_server.grids.gaussian import MAX_NUMBER, gaussian_latitudes
from polytope_server.grids.grid import RowGrid
from polytope_server.grids.healpix import MAX_SIDE, healpix
from polytope_server.grids.makers import rectangle, reduced, reduced_gaussian
from polytope_server.grids.orders import Columns, FlippedRows, Order
from polytope_server.grids.ranges import Floats, Integers

#: Gives the value of a key of ecCodes, None if the message does not have it.
_Read = Callable[[str], Any]
_MAX_ROWS = 2**20
#: Degrees. GRIB edition 1 writes coordinates in thousandths of a degree.
_PRECISION = 1e-3
#: Keys that are 0 in reduced grids.
_NOT_IN_REDUCED = (
    "iScansNegatively",
    "jPointsAreConsecutive",
    "alternativeRowScanning",
    "longitudeOfFirstGridPointInDegrees",
)


def from_message(message: int | Mapping[str, Any]) -> RowGrid | None:
    """The grid of a message, without decoding values or coordinates.

    Args:
        message: A handle of ecCodes, or the keys of its grid section as ecCodes gives them.

    Returns:
        The grid, with the md5 of its section; None for grids without a closed form, and for parts of reduced
        grids.
    """
    read = message.get if isinstance(message, Mapping) else _reader(message)
    make = _KINDS.get(read("gridType"))
    grid = make(read) if make else None
    if grid is None or grid.size != read("numberOfDataPoints"):
        return None
    return grid.with_md5(read("md5GridSection"))


def _reader(handle: int) -> _Read:
    import eccodes

    def read(key: str) -> Any:
        try:
            if key == "pl":
                return eccodes.codes_get_array(handle, key)
            return eccodes.codes_get(handle, key)
        except eccodes.KeyValueNotFoundError:
            return None

    return read


def _read_reduced_gaussian(read: _Read) -> RowGrid | None:
    number, counts = read("N") or 0, _read_counts(read)
    if counts is None or not 1 <= number <= MAX_NUMBER or len(counts) != 2 * number:
        return None
    return reduced_gaussian(number, counts, northwards=bool(read("jScansPositively")))


def _read_reduced(read: _Read) -> RowGrid | None:
    counts = _read_counts(read)
    if counts is None or len(counts) > _MAX_ROWS:
        return None
    return reduced(_read_latitudes(read, len(counts)), counts)


def _read_counts(read: _Read) -> Integers | None:
    """The numbers of points of the rows of a reduced grid, if these are whole circles from 0 degrees."""
    counts = np.array(read("pl") if read("pl") is not None else [], np.int64)
    if not counts.any() or counts.min() < 0 or any(read(key) for key in _NOT_IN_REDUCED):
        return None
    # Writers are not precise here; the number of all points, which is checked later, decides.
    around = (read("longitudeOfLastGridPointInDegrees") or 0) > 360 - 2 * 360 / counts.max()
    return counts if around else None


def _read_regular_gaussian(read: _Read) -> RowGrid | None:
    number, rows = read("N") or 0, read("Nj") or 0
    if not 1 <= number <= MAX_NUMBER:
        return None
    latitudes = gaussian_latitudes(number)
    if read("jScansPositively"):
        latitudes = latitudes[::-1]
    begin = int(np.argmin(np.abs(latitudes - read("latitudeOfFirstGridPointInDegrees"))))
    chosen = latitudes[begin : begin + rows]
    fits = len(chosen) == rows and abs(chosen[-1] - read("latitudeOfLastGridPointInDegrees")) <= _PRECISION
    return _read_rectangle(read, chosen) if fits else None


def _read_regular(read: _Read) -> RowGrid | None:
    rows = read("Nj") or 0
    return _read_rectangle(read, _read_latitudes(read, rows)) if 1 <= rows <= _MAX_ROWS else None


def _read_latitudes(read: _Read, rows: int) -> Floats:
    """Equally spaced ones, but for the last: the increment may be rounded. So ecCodes gives them, too."""
    first, last = read("latitudeOfFirstGridPointInDegrees"), read("latitudeOfLastGridPointInDegrees")
    spacing = read("jDirectionIncrementInDegrees") or abs(last - first) / max(rows - 1, 1)
    latitudes: Floats = first + np.sign(last - first) * spacing * np.arange(rows)
    latitudes[-1] = last
    return latitudes


def _read_rectangle(read: _Read, latitudes: Floats) -> RowGrid | None:
    rows, columns = len(latitudes), read("Ni")
    if not columns or rows * columns != read("numberOfDataPoints"):
        return None
    ends = read("longitudeOfFirstGridPointInDegrees"), read("longitudeOfLastGridPointInDegrees")
    flipped = bool(read("iScansNegatively"))
    west, east = reversed(ends) if flipped else ends
    spacing = ((east - west) % 360 or 360) / (columns - 1) if columns > 1 else 360.0
    alternating, by_columns = bool(read("alternativeRowScanning")), bool(read("jPointsAreConsecutive"))
    if alternating and by_columns:
        return None
    order = (
        Columns(rows, columns, flipped) if by_columns else _order_rows(rows, columns, flipped, alternating)
    )
    return rectangle(latitudes, west, spacing, columns, order)


def _order_rows(rows: int, columns: int, flipped: bool, alternating: bool) -> Order | None:
    if not flipped and not alternating:
        return None
    every_second = np.arange(rows) % 2 == 1
    of_rows = every_second ^ flipped if alternating else np.full(rows, True)
    return FlippedRows(np.arange(rows + 1, dtype=np.int64) * columns, of_rows)


def _read_healpix(read: _Read) -> RowGrid | None:
    side, convention = read("Nside") or 0, read("orderingConvention")
    usual = read("longitudeOfFirstGridPointInDegrees") == 45 and convention in ("ring", "nested")
    if not usual or not 1 <= side <= MAX_SIDE or (convention == "nested" and side & (side - 1)):
        return None
    return healpix(side, nested=convention == "nested")


_KINDS: dict[Any, Callable[[_Read], RowGrid | None]] = {
    "reduced_gg": _read_reduced_gaussian,
    "reduced_ll": _read_reduced,
    "regular_gg": _read_regular_gaussian,
    "regular_ll": _read_regular,
    "healpix": _read_healpix,
}
