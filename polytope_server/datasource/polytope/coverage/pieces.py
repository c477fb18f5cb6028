"""Pieces of CoverageJSON, and chunks made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson

from polytope_server.datasource.polytope.arrays import Floats

#: Bytes that a chunk has at least, but for the last one.
_CHUNK = 256 << 10
#: By these bytes, with the space, earthkit-data knows what a file or a stream without a name is.
_MAGIC = b'{"type": "CoverageCollection",'
#: Numbers that are turned into text at a time.
_BLOCK = 16 << 10
_NUMPY = orjson.OPT_SERIALIZE_NUMPY

Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Range:
    """The values of one parameter in a coverage, in blocks that follow each other."""

    name: str
    axis: str
    shape: int
    blocks: Iterable[Floats]


@dataclass(frozen=True)
class Coverage:
    """One coverage: what MARS calls its fields, its axes, and its ranges."""

    metadata: Mapping[str, Any]
    axes: Iterable[bytes]
    ranges: Iterable[Range]


def collection(head: Mapping[str, Any], coverages: Iterable[Coverage]) -> Pieces:
    """A collection of coverages; `head` are its own members besides the type."""
    yield _MAGIC + dumped(head)[1:-1] + b',"coverages":['
    comma = b""
    for coverage in coverages:
        yield comma
        yield from _coverage(coverage)
        comma = b","
    yield b"]}"


def _coverage(coverage: Coverage) -> Pieces:
    yield b'{"mars:metadata":' + dumped(coverage.metadata)
    yield b',"type":"Coverage","domain":{"type":"Domain","axes":'
    yield from coverage.axes
    yield b'},"ranges":{'
    comma = b""
    for values in coverage.ranges:
        about = dumped(
            {"type": "NdArray", "dataType": "float", "shape": [values.shape], "axisNames": [values.axis]}
        )
        yield comma + dumped(values.name) + b":" + about[:-1] + b',"values":['
        yield from joined(map(numbers, values.blocks))
        yield b"]}"
        comma = b","
    yield b"}}"


def dumped(value: Any) -> bytes:
    """The JSON text of a small value."""
    return orjson.dumps(value)


def numbers(values: Floats) -> Pieces:
    """The numbers of an array as the items of a JSON array, `null` where there is no value.

    An array of two dimensions becomes items that are arrays themselves.
    """
    rows = max(_BLOCK // (values.shape[1] if values.ndim > 1 else 1), 1)
    for start in range(0, len(values), rows):
        block = np.ascontiguousarray(values[start : start + rows])
        yield orjson.dumps(block, option=_NUMPY)[1:-1]


def joined(parts: Iterable[Iterable[bytes]]) -> Pieces:
    """Items of JSON arrays as those of one array."""
    comma = b""
    for piece in chain.from_iterable(parts):
        yield comma + piece
        comma = b","


def chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in chunks, so that few of them are small."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def axis_values(axes: Mapping[str, Sequence[Any]]) -> bytes:
    """Axes of single values."""
    return dumped({name: {"values": list(values)} for name, values in axes.items()})
