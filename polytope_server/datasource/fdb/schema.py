"""The schema of an FDB: which keys a request must name for a field to be found.

Rules have three levels, `[database [index [datum]]]`, of keys each. `key=a/b` are rules for some values,
`key?` may be absent, and `key-` is not part of a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

_COMMENT = re.compile("#[^\n]*")
_SPACE = re.compile(r"\s+")
_TYPES = re.compile(r"(?:[^\[\];:]+:[^\[\];:]+;)*")
_KEY = re.compile(r"([^\[\],:;=/?-]+)(?::[^\[\],:;=/?-]+)?(?:([?-])[^\[\],:;=?]*|=([^\[\],:;=?]+))?")

Canonical = Callable[[str, str], str]


@dataclass(frozen=True)
class _Demand:
    """One key of a rule: whether a request must name it, and the values for which the rule is; none: any."""

    key: str
    required: bool
    values: frozenset[str]

    def admits(self, given: Collection[str] | None) -> bool:
        return not self.values or given is None or not self.values.isdisjoint(given)


@dataclass(frozen=True)
class Schema:
    """The rules of a schema, each as the keys of all its levels."""

    rules: tuple[tuple[_Demand, ...], ...]

    def missing(self, request: Mapping[str, Collection[str]]) -> list[str]:
        """The keys that a request lacks, by the rule for its values that it is nearest to.

        `request` has the values of each key, in canonical spelling. No rule for them: none, as the FDB says.
        """
        fitting = (rule for rule in self.rules if all(one.admits(request.get(one.key)) for one in rule))
        lacks = ([one.key for one in rule if one.required and one.key not in request] for rule in fitting)
        return min(lacks, key=len, default=[])


def parse(text: str, canonical: Canonical) -> Schema:
    """The schema that a text describes; `canonical(key, value)` brings values to one spelling.

    Raises ValueError for what is no schema.
    """
    text = _SPACE.sub("", _COMMENT.sub("", text))
    types = _TYPES.match(text)
    position = types.end() if types else 0
    rules: list[tuple[_Demand, ...]] = []
    while position < len(text):
        found, position = _read_rule(text, position, canonical, 3)
        rules += found
    return Schema(tuple(rules))


def _read_rule(
    text: str, position: int, canonical: Canonical, levels: int
) -> tuple[list[tuple[_Demand, ...]], int]:
    """The rules between the bracket at `position` and the one that closes it, and where the text goes on."""
    if text[position] != "[" or levels == 0:
        raise ValueError(f"the schema has {text[position : position + 20]!r} where a rule was expected")
    own: list[_Demand] = []
    inner: list[tuple[_Demand, ...]] = []
    position += 1
    while (sign := text[position : position + 1]) != "]":
        if sign == "[":
            found, position = _read_rule(text, position, canonical, levels - 1)
            inner += found
        elif sign == ",":
            position += 1
        elif key := _KEY.match(text, position):
            own.append(_read_key(key, canonical))
            position = key.end()
        else:
            raise ValueError(f"the schema has {text[position : position + 20]!r} where a key was expected")
    if levels == 1:
        return [tuple(own)], position + 1
    return [(*own, *rule) for rule in inner], position + 1


def _read_key(found: re.Match[str], canonical: Canonical) -> _Demand:
    key, sign, values = found.groups()
    listed = [value for value in (values or "").split("/") if value]
    if any(value.startswith("!") for value in listed):
        listed = []  # a rule for all other values: taken for one for all, it refuses none of them
    return _Demand(key, not sign, frozenset(canonical(key, value) for value in listed))
