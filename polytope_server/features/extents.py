"""The `range` of a feature, as the text of a key of a request."""

from __future__ import annotations

from collections.abc import Mapping

from polytope_server.features.values import suggest
from polytope_server.language import RequestError
from polytope_server.language.errors import shown
from polytope_server.language.ranges import is_range, joined, parse_range, read_values
from polytope_server.language.values import scalar_text, utc_today

_KEYS = ("start", "end", "interval")
#: Days may be relative, and the one that they count from is the request's.
_DAYS = ("date", "hdate")
_EXPECTED = 'expected {"start": 0, "end": 240, "interval": 6}, or a list of values'


def read_extent(value: object, axis: str) -> str:
    """A mapping of start, end and interval, a list of values, or a text that a request may have."""
    text = _text_of_mapping(value) if isinstance(value, Mapping) else joined(axis, value)
    if not is_range(text):
        values = read_values(axis, text)
        singles = values if isinstance(values, list) else values.values()
        if len(set(singles)) < len(singles):
            raise RequestError(f"{shown(value)} has a value twice; give each once")
        return text if axis in _DAYS else "/".join(singles)
    found = parse_range(axis, text, utc_today())
    if found.downwards and axis != "levelist":
        raise RequestError(f"{shown(value)} ends before it starts; expected the smaller number as its start")
    return text if axis in _DAYS else str(found)


def _text_of_mapping(value: Mapping[object, object]) -> str:
    found: dict[str, str] = {}
    for name, item in value.items():
        key = str(name).strip().lower()
        text = scalar_text(item)
        if key not in _KEYS:
            raise RequestError(f"key {shown(name)} is not known; {suggest(key, _KEYS)}")
        if key in found:
            raise RequestError(f"key '{key}' is given twice; give it once")
        if not text or "/" in text:
            raise RequestError(f"key '{key}': {shown(item)} is not accepted; {_EXPECTED}")
        found[key] = text
    if absent := [key for key in _KEYS[:2] if key not in found]:
        raise RequestError(f"{' and '.join(absent)} is missing; {_EXPECTED}")
    by = f"/by/{found['interval']}" if "interval" in found else ""
    return f"{found['start']}/to/{found['end']}{by}"
