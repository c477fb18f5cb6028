"""`demo-regional`: a part of the world on a finer grid, as the server interpolates it, beside the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from polytope_demonstration.client import WEATHER_MAP
from polytope_demonstration.picture import Array, Field, regrid

AREA = {"north": 72, "west": -25, "south": 34, "east": 45}
REGIONAL_MAP = {**WEATHER_MAP, "grid": "0.5/0.5", "area": "/".join(map(str, AREA.values()))}
"""The fields of the map once more: half a degree between the points, of a part of the world."""
_COLOURS = {"cmap": "RdYlBu_r", "extend": "both"}


def draw(world: list[Field], region: list[Field], path: Path) -> None:
    """Draw the temperature of the world, and of a region with pressure and wind, in the same colours."""
    # Without pyplot: no display, no state that is shared.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.45, 1))
    fields = {field.short_name: field for field in region}
    everywhere = next(field for field in world if field.short_name == "2t")
    levels = np.arange(-42.0, 48.0, 3.0)
    _shade(left, regrid(everywhere), levels)
    left.add_patch(_frame())
    left.set_title(f"as it is stored: {len(everywhere.values):,} points on the grid O64")
    drawn = _shade(right, table(fields["2t"]), levels)
    _lines(right, table(fields["msl"]))
    _arrows(right, table(fields["10u"]), table(fields["10v"]))
    right.set_title(
        f"grid: {REGIONAL_MAP['grid']}, area: {REGIONAL_MAP['area']}\n{len(fields['2t'].values):,} points"
    )
    figure.colorbar(drawn, ax=[left, right], shrink=0.85, pad=0.01).set_label("°C")
    figure.suptitle(
        f"{everywhere.name}, {everywhere.date} 00 UTC + {everywhere.step} h: "
        "synthetic weather of the Polytope demonstration"
    )
    figure.savefig(path)


def table(field: Field) -> tuple[Array, Array, Array]:
    """Longitudes, latitudes and values [latitude, longitude] of a field on a regular grid of a region."""
    longitudes = (np.unique((field.longitudes + 180) % 360)) - 180
    latitudes = np.unique(field.latitudes)[::-1]
    return longitudes, latitudes, field.values.reshape(len(latitudes), len(longitudes))


def _shade(axes: Any, drawn: tuple[Array, Array, Array], levels: Array) -> Any:
    longitudes, latitudes, kelvin = drawn
    axes.set(aspect="equal")
    axes.grid(color="white", linewidth=0.5, alpha=0.6)
    return axes.contourf(longitudes, latitudes, kelvin - 273.15, levels=levels, **_COLOURS)


def _frame() -> Any:
    from matplotlib.patches import Rectangle

    size = AREA["east"] - AREA["west"], AREA["north"] - AREA["south"]
    return Rectangle((AREA["west"], AREA["south"]), *size, fill=False, color="black", linewidth=1.5)


def _lines(axes: Any, pressure: tuple[Array, Array, Array]) -> None:
    longitudes, latitudes, pascal = pressure
    lines = axes.contour(
        longitudes, latitudes, pascal / 100, levels=np.arange(900, 1100, 5), colors="#333333", linewidths=0.7
    )
    axes.clabel(lines, fmt="%d", fontsize=7)


def _arrows(axes: Any, eastward: tuple[Array, Array, Array], northward: tuple[Array, Array, Array]) -> None:
    longitudes, latitudes, u = eastward
    every = slice(2, None, 6)
    both = (u[every, every], northward[2][every, every])
    axes.quiver(longitudes[every], latitudes[every], *both, scale=230, width=0.0018, color="#222222")
