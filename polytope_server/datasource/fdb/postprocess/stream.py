"""The fields of a request as MIR makes them: one message, or one vector, at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from polytope_server.datasource import DataSourceError, Job
from polytope_server.datasource.fdb.grib import Shape, read_shape
from polytope_server.datasource.fdb.postprocess.engine import Engine
from polytope_server.datasource.fdb.postprocess.recipe import Recipe
from polytope_server.datasource.fdb.postprocess.tables import Pair, tables
from polytope_server.datasource.fdb.postprocess.vectors import Part
from polytope_server.datasource.fdb.postprocess.weights import Weights
from polytope_server.datasource.fdb.selection import Selection

#: The messages of a selection, and how many there are.
Open = Callable[[Selection], tuple[Iterable[bytearray], int]]

_CHUNK = 1 << 20
_SPECTRAL = "sh"


@dataclass(frozen=True)
class Tools:
    """What the work needs: MIR, the folder of its weights, and access to the fields."""

    engine: Engine
    weights: Weights
    open: Open


def produce(
    tools: Tools, job: Job, recipe: Recipe, parts: Iterable[Part], fields: int
) -> Iterator[memoryview]:
    """The messages that become of all parts, in chunks; `fields` is how many fields there are.

    Raises DataSourceError for fields that cannot be brought to what is asked for.
    """
    done = 0
    seen: set[str] = set()
    try:
        for part in parts:
            for count, messages in _work(tools, job, recipe, part, seen):
                if not done:
                    # What the first one has added may be large, and the rest take a while.
                    tools.weights.trim()
                done += count
                job.progress(f"{done} of {fields} fields")
                for message in messages:
                    yield from _chunks(message)
    finally:
        tools.weights.trim()


def _work(
    tools: Tools, job: Job, recipe: Recipe, part: Part, seen: set[str]
) -> Iterator[tuple[int, list[bytes]]]:
    """What becomes of the fields of a part: how many of those that are wanted, and their messages."""
    messages, count = tools.open(part.selection)
    if part.pair is not None and count:
        first, second = _in_order(messages, part.pair)
        shape = read_shape(first)
        _check(shape, job, recipe, seen)
        options = {**recipe.options, **part.options}
        made = tools.engine.apply_to_pair(options, _label(shape), first, second)
        yield len(made), made
        return
    for message in messages:
        shape = read_shape(message)
        _check_alone(shape, recipe)
        _check(shape, job, recipe, seen)
        yield 1, tools.engine.apply(recipe.options, _label(shape), message)


def _label(shape: Shape) -> str:
    return f"a field (parameter {shape.param}, grid {shape.grid_type}, GRIB edition {shape.edition})"


def _in_order(messages: Iterable[bytearray], pair: Pair) -> tuple[bytearray, bytearray]:
    """The two fields of a pair, in whatever order they come."""
    by_number = {read_shape(message).param: message for message in messages}
    if gone := [number for number in pair if number not in by_number]:
        there = next(iter(by_number))
        raise DataSourceError(
            f"the parameters {pair[0]} and {pair[1]} are needed together, and of one vector there is {there} "
            f"without {gone[0]}"
        )
    return by_number[pair[0]], by_number[pair[1]]


def _check_alone(shape: Shape, recipe: Recipe) -> None:
    """Refuse a component of a vector that must be turned with the other one, which is not there."""
    pair = tables().pair_of(shape.param)
    if pair is not None and "rotation" in recipe:
        other = pair[pair[0] == shape.param]
        raise DataSourceError(
            f"key 'rotation': it turns the vector of which {shape.param} is one component, and the other "
            f"one, {other}, is not asked for, or not available"
        )


def _check(shape: Shape, job: Job, recipe: Recipe, seen: set[str]) -> None:
    """Refuse what would have no effect where it must have one, and say once where it need not."""
    spectral = shape.grid_type == _SPECTRAL
    for key in ("area", "frame"):
        if spectral and key in recipe and "grid" not in recipe:
            raise DataSourceError(
                f"key '{key}': fields with the parameter {shape.param} are spherical harmonics, which have "
                "no points; name a grid, too"
            )
    if not spectral and recipe.options.get("packing") == "complex":
        raise DataSourceError("key 'packing': 'complex' is for spherical harmonics, and a field is on a grid")
    idle = [key for key in ("truncation", "intgrid") if key in recipe and not spectral]
    if spectral and "grid" not in recipe and recipe.options.get("packing", "complex") != "complex":
        idle.append("packing")
    for key in idle:
        if key not in seen:
            seen.add(key)
            what = "spherical harmonics" if spectral else "on a grid"
            job.note(f"Without effect on some fields, which are {what}: {key}={recipe.options[key]}.")


def _chunks(message: bytes) -> Iterator[memoryview]:
    for start in range(0, len(message), _CHUNK):
        yield memoryview(message)[start : start + _CHUNK]
