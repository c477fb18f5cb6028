"""What a user reads who sent something that is no request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from polytope_server.language.errors import shown

EXPECTED = 'expected keys with values, such as {"class": "od", "param": "2t"}, or as text: class=od, param=2t'
# A word before the first key: another verb of MARS than retrieve, or a short form of it.
_VERB = re.compile(r"\s*+([A-Za-z]++)\s*+,\s*+[A-Za-z_][A-Za-z0-9_]*+\s*+=")


def describe_no_request(value: object) -> str:
    """What the value is instead of a request, and what was expected."""
    return f"{_describe(value)}; {EXPECTED}"


def _describe(value: object) -> str:
    if value is None or value == "":
        return "the request is empty"
    if isinstance(value, list):
        alone = len(value) == 1 and isinstance(value[0], Mapping)
        return "the request is a list; send what is in it by itself" if alone else "the request is a list"
    if isinstance(value, str) and (verb := _VERB.match(value)):
        return f"the request begins with {shown(verb[1])}; only retrieve may stand before the keys"
    if isinstance(value, str):
        return f"the request is a text without keys, {shown(value)}"
    return f"the request is {shown(value)}"
