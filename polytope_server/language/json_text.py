"""JSON in which the number of a parameter stays as it is written.

A parameter 130.200 is a name in two parts, number and table: as a number it would become 130.2, which is
another parameter, or none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from polytope_server.language.mappings import build_mapping

_PARAM = frozenset({"param", "parameter", "parameters"})


def is_param(key: str) -> bool:
    """Whether the values of a key are names of parameters."""
    return key.lower() in _PARAM


class _Written(float):
    """A number that knows how it was written."""

    text: str


def load_json(
    text: str | bytes,
    *,
    integer: Callable[[str], Any] = int,
    real: Callable[[str], float] = float,
    constant: Callable[[str], Any] = float,
) -> Any:
    """The value of a JSON text, as `json.loads` makes it with these parts.

    Only a fraction below `param`, or another name of that key, is text. Raises what `json.loads` does, and
    RequestError for a key that an object has twice: `json.loads` would leave out the first.
    """

    def read_real(written: str) -> _Written:
        number = _Written(real(written))
        number.text = written
        return number

    return json.loads(
        text,
        object_pairs_hook=lambda pairs: build_mapping([(key, _as_meant(key, value)) for key, value in pairs]),
        parse_int=integer,
        parse_float=read_real,
        parse_constant=constant,
    )


def _as_meant(key: str, value: Any) -> Any:
    if not is_param(key):
        return value
    if isinstance(value, list):
        return [_as_meant(key, item) for item in value]
    # Clients whose JSON knows only fractions write 130.0.
    return value.text if isinstance(value, _Written) and not value.is_integer() else value
