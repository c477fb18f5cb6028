"""Other names of keys: a data source may know one key by several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.language.errors import RequestError


def rename(request: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The same keys and values, each key by its own name. RequestError if a key is there by two names.

    `aliases` are `{other name: key}`, in small letters. Keys of `request` in any case are found.
    """
    found: dict[str, Any] = {}
    given: dict[str, str] = {}
    for key, value in request.items():
        name = aliases.get(str(key).lower(), key)
        if name in found:
            both = " and ".join(sorted({given[name], str(key)}))
            raise RequestError(f"key '{name}' is given twice, as {both}; give it once")
        found[name], given[name] = value, str(key)
    return found
