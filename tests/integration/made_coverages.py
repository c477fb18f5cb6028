"""CoverageJSON as the server writes it for the features of the demonstration, with values made up here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

START = datetime(2026, 1, 1)
_UNITS = {"2t": "K", "t": "K", "10u": "m s**-1", "10v": "m s**-1", "msl": "Pa", "tp": "m"}
_MEANS = {"2t": 280.0, "t": 250.0, "10u": 3.0, "10v": -3.0, "msl": 101_000.0, "tp": 0.01}


def text_for(request: Mapping[str, Any]) -> str:
    """The result of a request with a feature."""
    params = request["param"].split("/")
    parameters = {name: {"description": {"en": name}, "unit": {"symbol": _UNITS[name]}} for name in params}
    of = {"timeseries": _series, "verticalprofile": _profiles, "boundingbox": _area}
    coverages = [
        {"mars:metadata": {"step": 24}, "domain": {"axes": axes}, "ranges": _ranges(params, count)}
        for axes, count in of[request["feature"]["type"]](request)
    ]
    return json.dumps({"parameters": parameters, "coverages": coverages})


def _series(request: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    extent = request["feature"]["range"]
    steps = range(extent["start"], extent["end"] + 1, extent["interval"])
    for _ in range(int(request["number"].rpartition("/")[2])):
        yield _at(request["feature"]["points"][0], [0], [_iso(step) for step in steps]), len(steps)


def _profiles(request: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    levels = [1000, 850, 700, 500, 300]
    for point in request["feature"]["points"]:
        yield _at(point, levels, [_iso(0)]), len(levels)


def _area(request: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    (north, west), (south, east) = request["feature"]["points"]
    latitudes, longitudes = np.meshgrid(np.arange(south, north, 4.0), np.arange(west, east, 5.0))
    points = np.stack((latitudes.ravel(), longitudes.ravel() % 360), axis=1).tolist()
    yield {"t": {"values": [_iso(0)]}, "composite": {"values": points}}, len(points)


def _at(point: list[float], levels: list[int], times: list[str]) -> dict[str, Any]:
    latitude, longitude = point
    axes = {"latitude": [latitude], "longitude": [longitude % 360], "levelist": levels, "t": times}
    return {name: {"values": values} for name, values in axes.items()}


def _iso(step: int) -> str:
    return (START + timedelta(hours=step)).isoformat() + "Z"


def _ranges(params: list[str], count: int) -> dict[str, Any]:
    random = np.random.default_rng(count)
    return {name: {"values": (_MEANS[name] * random.uniform(0.99, 1.01, count)).tolist()} for name in params}
