"""The two components of a vector, which MIR must get together where it turns them: on rotated grids.

On other grids each is interpolated by itself, with the same outcome. (Components that are spherical harmonics
are multiplied by the cosine of the latitude, which MIR knows.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from polytope_server.datasource.fdb.grib import canonical
from polytope_server.datasource.fdb.metkit import Tables as Parameters
from polytope_server.datasource.fdb.metkit import written_number
from polytope_server.datasource.fdb.postprocess.recipe import Recipe
from polytope_server.datasource.fdb.postprocess.tables import Pair, tables
from polytope_server.datasource.fdb.selection import Selection
from polytope_server.language.errors import shown


@dataclass(frozen=True)
class Part:
    """A part of a selection: fields that go through MIR one by one, or a pair that goes together."""

    selection: Selection
    pair: Pair | None = None
    #: The options of MIR for a pair.
    options: Mapping[str, str] = field(default_factory=dict)


_VECTOR = {"uv2uv": "1"}


def divide(wanted: Selection, recipe: Recipe, known: Parameters | None) -> Iterator[Part]:
    """The parts of a selection: first all that are no vectors, then each vector by itself.

    `known` are the parameters by their names; None where they cannot be read.
    """
    numbers = {text: number_of(text, known) for text in wanted.get("param", [])}
    pairs = _find_pairs(numbers) if "rotation" in recipe else {}
    in_pairs = {number for pair in pairs for number in pair}
    if alone := [text for text, number in numbers.items() if number not in in_pairs]:
        yield Part({**wanted, "param": alone})
    elif not numbers:
        yield Part(wanted)
    for pair, written in pairs.items():
        yield from each({**wanted, "param": written}, pair, _VECTOR)


def each(wanted: Selection, pair: Pair | None, options: Mapping[str, str]) -> Iterator[Part]:
    """A pair for each choice of the keys but `param`."""
    others = {key: _distinct(key, values) for key, values in wanted.items() if key != "param"}
    for values in product(*others.values()):
        single = {key: [value] for key, value in zip(others, values, strict=True)}
        yield Part({**single, "param": wanted["param"]}, pair, options)


def describe_halves(params: Iterable[str], recipe: Recipe, known: Parameters | None) -> list[str]:
    """What is wrong with parameters of which one component is asked for, and both are needed."""
    if "rotation" not in recipe:
        return []
    numbers = {number_of(text, known): text for text in params}
    halves = [
        (text, pair)
        for number, text in numbers.items()
        if number is not None and (pair := tables().pair_of(number)) and not numbers.keys() >= set(pair)
    ]
    return [_describe_half(text, pair, known) for text, pair in halves]


def _describe_half(text: str, pair: Pair, known: Parameters | None) -> str:
    both = "/".join((known and known.name_of(str(number))) or str(number) for number in pair)
    return f"key 'param': {shown(text)} is one component of a vector, and 'rotation' turns both; say {both}"


def number_of(text: str, known: Parameters | None) -> int | None:
    """The number of the parameter that a request names; None if it is not known."""
    number = known.spelling("param", text) if known else written_number(text)
    return int(number) if number and number.isascii() and number.isdecimal() else None


def _find_pairs(numbers: dict[str, int | None]) -> dict[Pair, list[str]]:
    """The pairs of which both components are there, each as the first text that names it."""
    written = {number: text for text, number in reversed(numbers.items())}
    present = [pair for pair in tables().pairs if pair[0] in written and pair[1] in written]
    return {(first, second): [written[first], written[second]] for first, second in present}


def _distinct(key: str, values: list[str]) -> list[str]:
    """The values without those that mean the same as one before them."""
    first: dict[str, str] = {}
    for value in values:
        first.setdefault(canonical(key, value), value)
    return list(first.values())
