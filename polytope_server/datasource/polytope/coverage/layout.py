"""How the fields and points of a part of a request become coverages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from polytope_server.datasource.polytope.arrays import Floats
from polytope_server.datasource.polytope.coverage import labels
from polytope_server.datasource.polytope.coverage.pieces import (
    Coverage,
    Range,
    axis_values,
    dumped,
    joined,
    numbers,
)
from polytope_server.datasource.polytope.coverage.style import (
    MULTI_POINT,
    POINT_SERIES,
    TRAJECTORY,
    VERTICAL_PROFILE,
    Style,
)
from polytope_server.datasource.polytope.cube import Cube
from polytope_server.datasource.polytope.points import Block, Stretch
from polytope_server.datasource.polytope.reading import MAX_VALUES, Reader
from polytope_server.features import Feature, Points, TimeSeries, Trajectory, VerticalProfile

#: Points of an area whose coordinates are kept as text, for all of its coverages.
_KEPT_POINTS = 1 << 16


@dataclass(frozen=True)
class Part:
    """Fields on one grid, and the points of it that are wanted. `names` are those of parameters."""

    cube: Cube
    stretches: Sequence[Stretch]
    reader: Reader
    names: Mapping[str, str]
    style: Style
    feature: Feature


def coverages(part: Part) -> Iterator[Coverage]:
    """The coverages of a part of a result, in the form for its feature."""
    match domain_of(part.feature):
        case "PointSeries":
            return _at_points(part, _running(part), POINT_SERIES)
        case "VerticalProfile":
            return _at_points(part, ["levelist"], VERTICAL_PROFILE)
        case "Trajectory":
            return _paths(part)
        case _:
            return _areas(part)


def domain_of(feature: Feature) -> str:
    """The type of the domains of coverages for a feature."""
    if isinstance(feature, Points):
        return VERTICAL_PROFILE if isinstance(feature, VerticalProfile) else POINT_SERIES
    return TRAJECTORY if isinstance(feature, Trajectory) else MULTI_POINT


def _running(part: Part) -> list[str]:
    """The keys that make the time of a series. All others make a coverage each."""
    keys = part.cube.constants
    climate = keys.get("class") == "ng" or keys.get("dataset") == "climate-dt"
    axis = part.feature.time_axis if isinstance(part.feature, TimeSeries) else "step"
    if axis == "date" and climate:
        return ["date", "time"]
    return ["year", "month"] if axis in ("month", "year") else ["step"]


def _outer(cube: Cube, inner: Sequence[str]) -> list[str]:
    """The axes that coverages differ by, in the order in which coverages follow each other."""
    usual = ["hdate", "date", "year", "month", "time", "levelist", "number", "step"]
    others = [key for key in cube.axes if key not in (*usual, "param")]
    return [*others, *(key for key in usual if key in cube.axes and key not in inner)]


def _at_points(part: Part, run: Sequence[str], domain: str) -> Iterator[Coverage]:
    """A coverage for each point and each value of all keys but those of `run`, along which it goes."""
    running, keys = len(run), [*_outer(part.cube, run), *run]
    cube = part.cube.arranged([*keys, "param"])
    params = cube.axes["param"]
    outer = list(product(*(cube.axes[key] for key in keys[:-running])))
    inner = list(product(*(cube.axes[key] for key in keys[-running:])))
    fields = [cube.locations[n] for n in cube.fields.ravel().tolist()]
    shared = [
        [{**cube.constants, **dict(zip(keys, (*first, *last), strict=True))} for last in inner]
        for first in outer
    ]
    abouts = [(_metadata(part, runs, domain), *_levels_and_times(runs, domain)) for runs in shared]
    for block in part.stretches[0].points.blocks(max(MAX_VALUES // len(fields), 1)):
        values = part.reader.matrix(fields, block).reshape(len(outer), len(inner), len(params), block.size)
        latitudes, longitudes = block.coordinates()
        for n in range(block.size):
            for (metadata, levels, times), found in zip(abouts, values, strict=True):
                axes = part.style.point_axes(float(latitudes[n]), float(longitudes[n]), levels, times)
                yield Coverage(metadata, [axis_values(axes)], _ranges(part, params, found[:, :, n], domain))


def _ranges(part: Part, params: Sequence[str], values: Floats, domain: str) -> Iterator[Range]:
    """A range for each parameter; `values` has a column for each."""
    for n, param in enumerate(params):
        name = part.names.get(param, param)
        yield Range(name, part.style.range_axis(domain, name), len(values), [values[:, n]])


def _metadata(part: Part, runs: Sequence[Mapping[str, str]], domain: str) -> dict[str, object]:
    found = labels.metadata(runs[0])
    if domain == VERTICAL_PROFILE:
        # Decoders find the coverages of a profile by it, also of data that have no steps.
        found.setdefault("step", 0)
    if domain == POINT_SERIES:
        found.pop("step", None)
        if runs[0].get("year"):
            # By its absence decoders know a series of months, which has no other start than its first one.
            found.pop("Forecast date", None)
        steps = [run.get("step", "") for run in runs]
        if any(map(labels.is_period, steps)):
            # A time alone does not say that a value is for a period.
            found["step"] = steps
    if isinstance(part.feature, TimeSeries):
        found.setdefault("levelist", 0)
    return found


def _levels_and_times(runs: Sequence[Mapping[str, str]], domain: str) -> tuple[list[object], list[str]]:
    levels: list[object] = [labels.number(run.get("levelist", "") or "0") for run in runs]
    times = [labels.valid_time(run) for run in runs]
    return (levels[:1], times) if domain == POINT_SERIES else (levels, times[:1])


def _areas(part: Part) -> Iterator[Coverage]:
    """A coverage for each forecast, member and step, with the points of all levels, level by level."""
    levels = part.cube.axes.get("levelist") or [part.cube.constants.get("levelist", "")]
    blocks = list(part.stretches[0].points.blocks(MAX_VALUES))
    return _composites(part, [_Run({"levelist": level}, blocks) for level in levels], MULTI_POINT)


def _paths(part: Part) -> Iterator[Coverage]:
    """A coverage for each forecast and member, with all stretches of a path."""
    runs = [_Run(one.keys, list(one.points.blocks(MAX_VALUES))) for one in part.stretches]
    return _composites(part, runs, TRAJECTORY)


@dataclass(frozen=True)
class _Run:
    """Points that follow each other in a coverage, and the keys of the fields that have the values there."""

    keys: Mapping[str, str]
    blocks: Sequence[Block]


def _composites(part: Part, runs: Sequence[_Run], domain: str) -> Iterator[Coverage]:
    inner = [key for key in runs[0].keys if key in part.cube.axes]
    outer = _outer(part.cube, inner)
    cube = part.cube.arranged([*outer, "param", *inner])
    places = [tuple(cube.axes[key].index(one.keys[key]) for key in inner) for one in runs]
    params = cube.axes["param"]
    fields = cube.fields.reshape(-1, *cube.fields.shape[len(outer) :])
    values = part.reader.stream(
        (cube.locations[of_one[(n, *place)]], block)
        for of_one in fields
        for n in range(len(params))
        for place, run in zip(places, runs, strict=True)
        for block in run.blocks
    )
    tuples = _Tuples(part, runs, domain)
    number_of_blocks = sum(len(run.blocks) for run in runs)
    for found in product(*(cube.axes[key] for key in outer)):
        keys = {**cube.constants, **dict(zip(outer, found, strict=True))}
        ranges = (
            Range(name, part.style.range_axis(domain, name), tuples.size, islice(values, number_of_blocks))
            for name in (part.names.get(param, param) for param in params)
        )
        yield Coverage(_describe(keys, runs, domain), tuples.axes(keys), ranges)


def _describe(keys: Mapping[str, str], runs: Sequence[_Run], domain: str) -> dict[str, object]:
    if domain == MULTI_POINT:
        return labels.metadata({**keys, **runs[0].keys})
    found = labels.metadata(keys)
    found.pop("levelist", None)
    return found


class _Tuples:
    """The points of runs as tuples, for each of the coverages that have them."""

    def __init__(self, part: Part, runs: Sequence[_Run], domain: str) -> None:
        self._style, self._runs, self._domain = part.style, runs, domain
        names = part.style.coordinates(domain, part.feature.type)
        self._about = dumped({"dataType": "tuple", "coordinates": names})[:-1]
        self._kept: bytes | None = None
        self.size = sum(block.size for run in runs for block in run.blocks)

    def axes(self, keys: Mapping[str, str]) -> Iterator[bytes]:
        """The axes of a coverage whose fields have these keys."""
        yield b"{"
        if self._domain == MULTI_POINT:
            yield b'"t":' + dumped({"values": [self._style.area_time(keys)]}) + b","
        yield b'"composite":' + self._about + b',"values":['
        if self._domain == TRAJECTORY or self.size > _KEPT_POINTS:
            yield from self._values(keys)
        else:
            self._kept = self._kept or b"".join(self._values(keys))
            yield self._kept
        yield b"]}}"

    def _values(self, keys: Mapping[str, str]) -> Iterator[bytes]:
        return joined(self._of_run({**keys, **run.keys}, run.blocks) for run in self._runs)

    def _of_run(self, keys: Mapping[str, str], blocks: Sequence[Block]) -> Iterator[bytes]:
        level = dumped(labels.number(keys.get("levelist", "") or "0"))
        time = dumped(self._style.path_time(keys)) + b"," if self._domain == TRAJECTORY else b""
        for block in blocks:
            columns = np.stack(self._style.columns(*block.coordinates()), axis=1)
            for piece in numbers(columns):
                yield piece.replace(b"[", b"[" + time).replace(b"]", b"," + level + b"]")
