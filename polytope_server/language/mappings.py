"""Keys and values of a text as a mapping."""

from __future__ import annotations

from collections import Counter
from typing import Any

from polytope_server.language.errors import RequestError, shown


def build_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of pairs. RequestError if a key occurs twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise RequestError(f"key {shown(twice)} is given twice; give it once")
    return result
