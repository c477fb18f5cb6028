"""The text of a request -> a JSON-like value.

YAML and JSON, and the text of MARS (`mars_text.py`). YAML's own idea of types is not used: it turns `0001`,
`12:00`, `no` and `2024-01-01` into 1, 720, False and a date object, each of which is a different request. A
plain scalar is a number only when it is spelt as JSON spells one, `true`, `false` or null; all else is text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from polytope_server.language import mars_text
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.json_text import is_param, load_json
from polytope_server.language.mappings import build_mapping

MAX_DEPTH = 32
EXPANSION = 20_000
"""How many values and characters aliases may add to a text; see `_check`."""


def parse(text: str) -> Any:
    """The value that the text stands for: None, bool, int, float, str, list or dict with text keys.

    RequestError for whatever is not such a value: bad syntax, a key twice, tags, several documents, NaN and
    infinities, nesting beyond MAX_DEPTH, aliases that expand too far. No text raises anything else. The
    size of the text is the caller's to bound.
    """
    # Editors of some systems put it before a text to say that it is Unicode.
    text = text.removeprefix("\ufeff")
    value = mars_text.read(text)
    if value is None:
        value = _structured(text)
    _check_size(value, 2 * len(text) + EXPANSION)
    return value


def _structured(text: str) -> Any:
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            return load_json(text, integer=_integer, real=_real, constant=_constant)
        except json.JSONDecodeError:
            pass  # a flow mapping of YAML starts the same way
        except RecursionError:
            raise _too_deep() from None
    if len(_DIRECTIVE.findall(text)) > _MAX_DIRECTIVES:
        raise RequestError(
            f"the request has more than {_MAX_DIRECTIVES} lines that begin with %; write it without them"
        )
    try:
        return _Document().read(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise RequestError(f"the request is neither YAML nor JSON: {_where(error)}") from None
    except UnicodeError:
        raise _not_unicode() from None


# The loader written in C where PyYAML has it: the one in Python takes a second for 100 kB.
# What begins a directive of YAML. libyaml compares each with all before it.
_DIRECTIVE = re.compile("^%|[\r\n\x85\u2028\u2029]%")
_MAX_DIRECTIVES = 10
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{getattr(error, 'problem', None) or 'a character that is not allowed'}{place}"


def _too_deep() -> RequestError:
    return RequestError(f"the request is nested too deeply; at most {MAX_DEPTH} levels are accepted")


def _not_unicode() -> RequestError:
    return RequestError("the request contains half of a surrogate pair; expected valid Unicode")


# --- scalars ---------------------------------------------------------------------------------------------


def _integer(text: str) -> int | str:
    # Beyond 64 bits no store or back-end takes it, and it is a label rather than a quantity.
    return int(text) if len(text) <= 18 else text


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        return _constant(text)
    return value


def _constant(text: str) -> float:
    raise RequestError(f"the request contains {shown(text)}; expected finite numbers")


_INTEGER = re.compile("[-+]?(0|[1-9][0-9]*)")
# A point is needed: 1e10 may well be an experiment's version.
_REAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _REAL.fullmatch(text):
        return _real(text)
    return _constant(text) if _NOT_FINITE.fullmatch(text) else text


def read_plain(text: str, key: str) -> Any:
    """The value of a plain scalar of YAML below a key of a request. Raises RequestError as `parse` does."""
    # As in JSON, see `load_json`.
    return text if is_param(key) and _REAL.fullmatch(text) else _plain(text)


# --- YAML ------------------------------------------------------------------------------------------------


class _Document:
    """One YAML document built from the parser's events, so that depth, aliases and types are ours."""

    def __init__(self) -> None:
        self._anchors: dict[str, Any] = {}

    def read(self, events: Iterator[Any]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise RequestError("the request has several YAML documents; expected one")
                value = self._build_node(next(events), events, 0, verbatim=False)
        return value

    def _build_node(self, event: Any, events: Iterator[Any], depth: int, *, verbatim: bool) -> Any:
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:  # also an alias inside of what it names
                raise RequestError(f"the alias {shown(f'*{event.anchor}')} names nothing that ends before it")
            return self._anchors[event.anchor]
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise RequestError(f"the YAML tag {shown(event.tag)} is not accepted; write the value without it")
        value = self._build_content(event, events, depth, verbatim)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _build_content(self, event: Any, events: Iterator[Any], depth: int, verbatim: bool) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event.value) if event.implicit[0] and not verbatim else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items = _until(events, yaml.SequenceEndEvent)
            return [self._build_node(item, events, depth + 1, verbatim=verbatim) for item in items]
        return build_mapping(list(self._pairs(events, depth)))

    def _pairs(self, events: Iterator[Any], depth: int) -> Iterator[tuple[str, Any]]:
        for event in _until(events, yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise RequestError("the request has a key that is not a plain text; expected 'key: value'")
            key = event.value
            # A parameter 130.200 is a name in two parts: as a number it would become 130.2.
            verbatim = is_param(key)
            yield key, self._build_node(next(events), events, depth + 1, verbatim=verbatim)


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    """The events up to one of the type `end`; a node's further events are taken from the same source."""
    while not isinstance(event := next(events), end):
        yield event


def _check_size(value: Any, budget: int) -> None:
    """Refuse what JSON, UTF-8 or a bounded walk could not carry further.

    Values and characters count, because an alias repeats both. Without aliases a text has no more values than
    characters, and its values no more characters than it has.
    """
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        budget -= 1 + (len(value) if isinstance(value, str) else 0)
        if budget < 0:
            raise RequestError("the request's aliases expand to too many values; write it without them")
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, dict):
            waiting.extend((part, depth + 1) for pair in value.items() for part in pair)
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _not_unicode() from None
