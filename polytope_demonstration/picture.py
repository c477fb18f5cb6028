"""A map of the weather, from GRIB messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_SPACING = 1.0  # degrees between the points that are drawn


@dataclass(frozen=True)
class Field:
    """One decoded field: its label, and its values at points given in degrees."""

    short_name: str
    name: str
    units: str
    date: str
    step: int
    level: str
    latitudes: Array
    longitudes: Array
    values: Array

    def __str__(self) -> str:
        v = self.values
        return (
            f"{self.short_name:<5} {self.date} +{self.step:>2} h  {self.level:<9} {self.units:<9}"
            f"{v.min():12.2f}{v.mean():12.2f}{v.max():12.2f}"
        )


HEADER = f"{'field':<5} {'start':<8} {'step':>5}  {'level':<9} {'unit':<9}{'min':>12}{'mean':>12}{'max':>12}"
"""The head of a table of fields."""


def decode(path: Path) -> list[Field]:
    """All fields of a GRIB file."""
    fields = []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            try:
                fields.append(_field(handle))
            finally:
                eccodes.codes_release(handle)
    return fields


def _field(handle: int) -> Field:
    def text(key: str) -> str:
        return str(eccodes.codes_get_string(handle, key))

    def array(key: str) -> Array:
        return np.asarray(eccodes.codes_get_array(handle, key))

    level = f"{text('level')} hPa" if text("typeOfLevel") == "isobaricInhPa" else "surface"
    return Field(
        short_name=text("shortName"),
        name=text("name"),
        units=text("units"),
        date=text("dataDate"),
        step=int(eccodes.codes_get(handle, "step")),
        level=level,
        latitudes=array("latitudes"),
        longitudes=array("longitudes"),
        values=array("values"),
    )


def draw(fields: list[Field], path: Path) -> None:
    """Draw temperature in colour, pressure as lines and wind as arrows; what is not there is left out."""
    # Without pyplot: no display, no state that is shared.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_name = {field.short_name: field for field in fields}
    first = by_name.get("2t", fields[0])
    figure = Figure(figsize=(13, 7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _shade(figure, axes, first)
    if "msl" in by_name:
        _isobars(axes, by_name["msl"])
    if {"10u", "10v"} <= by_name.keys():
        _arrows(axes, by_name["10u"], by_name["10v"])
    _graticule(axes)
    axes.set_title(
        f"{first.name}, {first.level}, {first.date} 00 UTC + {first.step} h\n"
        "synthetic weather of the Polytope demonstration",
        fontsize=12,
    )
    figure.savefig(path)


def _shade(figure: Any, axes: Any, field: Field) -> None:
    celsius = field.units == "K"
    longitudes, latitudes, values = regrid(field)
    shown = values - 273.15 if celsius else values
    drawn = axes.contourf(longitudes, latitudes, shown, levels=28, cmap="RdYlBu_r", extend="both")
    figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.015).set_label("°C" if celsius else field.units)


def _isobars(axes: Any, field: Field) -> None:
    longitudes, latitudes, values = regrid(field)
    lines = axes.contour(
        longitudes,
        latitudes,
        values / 100,
        levels=np.arange(900, 1100, 5),
        colors="#333333",
        linewidths=0.7,
    )
    axes.clabel(lines, fmt="%d", fontsize=7)


def _arrows(axes: Any, eastward: Field, northward: Field) -> None:
    longitudes, latitudes, u = regrid(eastward)
    every = (slice(10, -10, 6), slice(3, None, 6))
    v = regrid(northward)[2]
    axes.quiver(
        longitudes[every[1]],
        latitudes[every[0]],
        u[every],
        v[every],
        scale=520,
        width=0.0011,
        color="#222222",
        alpha=0.75,
    )


def _graticule(axes: Any) -> None:
    axes.set_xticks(range(-180, 181, 30), [_label(x, "E", "W") for x in range(-180, 181, 30)])
    axes.set_yticks(range(-90, 91, 30), [_label(y, "N", "S") for y in range(-90, 91, 30)])
    axes.grid(color="white", linewidth=0.5, alpha=0.6)
    axes.set(xlim=(-180, 180), ylim=(-90, 90), aspect="equal")


def _label(degrees: int, positive: str, negative: str) -> str:
    side = positive if degrees > 0 else negative if degrees < 0 else ""
    return f"{abs(degrees)}°{side}"


def regrid(field: Field) -> tuple[Array, Array, Array]:
    """Longitudes, latitudes and values [latitude, longitude] on whole degrees from west to east.

    Linear along each latitude of the grid, all the way round, and then between latitudes.
    """
    longitudes = np.arange(-180, 180 + _SPACING / 2, _SPACING)
    circles = np.unique(field.latitudes)
    rows = []
    for circle in circles:
        here = field.latitudes == circle
        rows.append(np.interp(longitudes, field.longitudes[here], field.values[here], period=360))
    latitudes = np.arange(-90, 90 + _SPACING / 2, _SPACING)
    table = np.array(rows)
    columns = [np.interp(latitudes, circles, table[:, column]) for column in range(len(longitudes))]
    return longitudes, latitudes, np.array(columns).T
