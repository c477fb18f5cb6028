"""Charts of features: a meteogram, profiles, and the map of a part of the world."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from polytope_demonstration.coverages import Collection, Coverage
from polytope_demonstration.weather import Array

_FREEZING = 273.15  # K
_MEDIAN, _BAND = "#1f4e79", "#6aa2d8"
_RAIN = "#2a7f9e"
_COLOURS = ("#1f4e79", "#c0504d", "#4f9d4f", "#8064a2")
_BLACK, _FAINT = "#222222", "#666666"


def draw(place: str, meteogram: Collection, profiles: Collection, area: Collection, path: Path) -> None:
    """Draw the three of them into one picture; `place` is the name of that of the meteogram."""
    # Without pyplot: no display, no state that is shared.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(14, 9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Features of synthetic weather, extracted by the Polytope demonstration", fontsize=12)
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    _draw_meteogram(left, place, meteogram)
    upper, lower = right.subfigures(2, 1)
    _draw_profiles(upper.add_subplot(), profiles)
    _draw_area(lower, area, meteogram.coverages[0].point, place)
    figure.savefig(path)


def _draw_meteogram(figure: Any, place: str, found: Collection) -> None:
    latitude, longitude = found.coverages[0].point
    members = len(found.coverages)
    figure.suptitle(
        f"{place} (grid point {position(latitude, longitude)}): median, quartiles and extremes "
        f"of {members} members",
        fontsize=10,
    )
    panels = figure.subplots(4, 1, sharex=True)
    times = _times(found.coverages[0])
    for panel, values, label in zip(panels, _panels(found), ("°C", "hPa", "m/s", "mm"), strict=True):
        if label == "mm":
            _draw_bars(panel, times, values)
        else:
            _draw_spread(panel, times, values)
        panel.set_ylabel(label)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    titles = ("temperature at 2 m", "pressure at sea level", "wind at 10 m", "rain in the 6 hours before")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, loc="left", fontsize=9, color=_FAINT)
    _label_times(panels[-1])


def _panels(found: Collection) -> Sequence[Array]:
    """The values that are drawn, each with a row for every member."""
    of = {name: np.array([one.values[name] for one in found.coverages]) for name in found.names}
    fallen = np.diff(of["tp"], axis=1, prepend=0.0) * 1000
    return of["2t"] - _FREEZING, of["msl"] / 100, np.hypot(of["10u"], of["10v"]), fallen


def _draw_spread(axes: Any, times: Sequence[datetime], values: Array) -> None:
    least, lower, median, upper, most = np.percentile(values, (0, 25, 50, 75, 100), axis=0)
    axes.fill_between(times, least, most, color=_BAND, alpha=0.28, linewidth=0)
    axes.fill_between(times, lower, upper, color=_BAND, alpha=0.6, linewidth=0)
    axes.plot(times, median, color=_MEDIAN, linewidth=1.8)
    axes.margins(x=0.01)


def _draw_bars(axes: Any, times: Sequence[datetime], values: Array) -> None:
    least, median, most = np.percentile(values, (0, 50, 100), axis=0)
    axes.bar(times, median, width=0.2, color=_RAIN)
    axes.vlines(times, least, most, color=_BLACK, linewidth=1.0)
    axes.set_ylim(0, max(float(most.max()) * 1.1, 1.0))


def _label_times(axes: Any) -> None:
    from matplotlib import dates

    drawn: Any = dates
    axes.xaxis.set_major_locator(drawn.DayLocator())
    axes.xaxis.set_major_formatter(drawn.DateFormatter("%a %d %b"))
    axes.xaxis.set_minor_locator(drawn.HourLocator(byhour=(6, 12, 18)))


def _draw_profiles(axes: Any, found: Collection) -> None:
    for coverage, colour in zip(found.coverages, _COLOURS * len(found.coverages), strict=False):
        axes.plot(
            coverage.values["t"] - _FREEZING,
            coverage.axes["levelist"],
            color=colour,
            marker="o",
            markersize=4,
            label=position(*coverage.point),
        )
    axes.set_yscale("log")
    levels = found.coverages[0].axes["levelist"]
    axes.set_yticks(levels, [str(level) for level in levels])
    axes.minorticks_off()
    axes.set_ylim(max(levels) * 1.04, min(levels) * 0.96)
    axes.set(xlabel="°C", ylabel="hPa")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    start = _times(found.coverages[0])[0]
    axes.set_title(f"temperature above three places, {start:%Y-%m-%d %H} UTC", fontsize=10)


def _draw_area(figure: Any, found: Collection, place: tuple[float, float], name: str) -> None:
    coverage = found.coverages[0]
    latitudes, longitudes = coverage.points.T
    axes = figure.add_subplot()
    shaded = axes.tricontourf(
        longitudes, latitudes, coverage.values["2t"] - _FREEZING, levels=24, cmap="RdYlBu_r", extend="both"
    )
    lines = axes.tricontour(
        longitudes,
        latitudes,
        coverage.values["msl"] / 100,
        levels=np.arange(900, 1100, 4),
        colors="#333333",
        linewidths=0.8,
    )
    axes.clabel(lines, fmt="%d", fontsize=7)
    axes.plot(longitudes, latitudes, ".", color="#ffffff", markersize=1.2, alpha=0.7)
    latitude, longitude = place
    axes.plot(longitude, latitude, "*", color=_BLACK, markersize=11)
    axes.annotate(name, (longitude, latitude), (6, 5), textcoords="offset points", fontsize=9)
    figure.colorbar(shaded, ax=axes, shrink=0.9, pad=0.02).set_label("temperature at 2 m, °C")
    axes.set_aspect(1 / np.cos(np.radians(latitudes.mean())))
    axes.xaxis.set_major_formatter(lambda x, _: _degrees(x, "E", "W"))
    axes.yaxis.set_major_formatter(lambda y, _: _degrees(y, "N", "S"))
    axes.set_title(
        f"{len(latitudes)} points of a box, {_times(coverage)[0]:%Y-%m-%d %H} UTC "
        f"+ {coverage.keys['step']} h",
        fontsize=10,
    )


def _times(coverage: Coverage) -> list[datetime]:
    return [datetime.fromisoformat(text.removesuffix("Z")) for text in coverage.axes["t"]]


def position(latitude: float, longitude: float) -> str:
    """Degrees of latitude and longitude, as a map has them."""
    return f"{_degrees(round(latitude, 1), 'N', 'S')} {_degrees(round(longitude, 1), 'E', 'W')}"


def _degrees(value: float, positive: str, negative: str) -> str:
    side = positive if value > 0 else negative if value < 0 else ""
    return f"{abs(value):g}°{side}"
