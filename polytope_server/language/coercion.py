"""A request of any shape -> a mapping of canonical values, or everything that is wrong with it.

Every back-end and every match rule reads the result, so what is ambiguous or could smuggle a second key into
a MARS request is refused here: keys in two cases, separators and quotes inside values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from polytope_server.language.errors import RequestError, shown
from polytope_server.language.ranges import (
    MAX_VALUES,
    is_range,
    not_a_range,
    parse_range,
    read_range,
    split,
    too_many,
)
from polytope_server.language.values import KINDS, MEMBER, NAME, Kind, folded, scalar_text, utc_today

RANGE_KEYS = frozenset({"number", "step", "date", "time"})
LIST_KEYS = frozenset(
    {"class", "stream", "type", "expver", "param", "number", "date", "step", "time"}
    | {"model", "experiment", "activity"}
)
OPAQUE_KEYS = frozenset({"data", "feature", "filter"})
"""Keys whose value is not looked into: the data source that understands them checks, and quotes, them.

`filter` is a statement in another language (SQL), with quotes and equals signs of its own.
"""


@dataclass(frozen=True)
class CoercionRules:
    """`coercion` of the configuration, already joined to the built-in rules."""

    allow_ranges: frozenset[str] = RANGE_KEYS
    allow_lists: frozenset[str] = LIST_KEYS
    number_allow_zero: bool = False

    def kind(self, key: str) -> Kind | None:
        """How the key's values are read; None for a key that is not coerced."""
        if key == "number" and not self.number_allow_zero:
            return MEMBER
        known = key in self.allow_lists or key in self.allow_ranges
        return KINDS.get(key, NAME if known else None)


DEFAULT_RULES = CoercionRules()


def coerce(
    request: object, rules: CoercionRules = DEFAULT_RULES, *, today: date | None = None
) -> dict[str, Any]:
    """The request with lower-case keys and canonical values; anything but a mapping becomes `{"data": it}`.

    Values of coerced keys become text, lists of them lists of text, ranges one canonical text; values of
    other keys stay as they are, their lists become lists of text. Relative dates count from `today`
    (default: today, UTC). Coercing the result again changes nothing. RequestError holds every problem.
    """
    if not isinstance(request, Mapping):
        return {"data": request}
    day = today or utc_today()
    result: dict[str, Any] = {}
    seen: set[str] = set()
    problems: list[str] = []
    for name, value in request.items():
        try:
            key = _coerce_key(name, seen)
            result[key] = _coerce_value(key, value, rules, day)
        except RequestError as error:
            problems.extend(error.problems)
    if problems:
        raise RequestError(*problems)
    return result


def _coerce_key(name: object, seen: set[str]) -> str:
    text = str(name)
    key = text.lower()
    if not re.fullmatch("[a-z0-9_][a-z0-9_.:-]{0,99}", key):
        raise RequestError(f"key {shown(text)} is not accepted; expected letters, digits and any of _ - . :")
    if key in seen:
        raise RequestError(
            f"key '{key}' is given twice; upper and lower case of a key are the same, give it once"
        )
    seen.add(key)
    return key


def _coerce_value(key: str, value: object, rules: CoercionRules, today: date) -> object:
    if key in OPAQUE_KEYS:
        return value
    if key == "timespan" and value is None:
        return "none"
    kind = rules.kind(key)
    return _check_other(key, value, today) if kind is None else _coerce_known(key, kind, value, rules, today)


def _coerce_known(key: str, kind: Kind, value: object, rules: CoercionRules, today: date) -> str | list[str]:
    """A value of a key that is coerced: one text, a list of texts, or one text for a range.

    A list of one text reads as the text: clients write `["0/to/24"]`, and what is delivered is the same.
    """
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str) and "/" in value[0]:
        value = value[0]
    if isinstance(value, list | tuple):
        return _coerce_list(key, kind, value, rules, today)
    text = _check_text(key, value, kind.expected)
    if is_range(text):
        return _coerce_range(key, kind, text, rules, today)
    if "/" in text:
        return _coerce_list(key, kind, split(text), rules, today)
    return _coerce_single(key, kind, value, today)


def _coerce_single(key: str, kind: Kind, value: object, today: date) -> str:
    # YAML's true and false are words to a person, and numbers to Python: neither is meant by any key.
    text = _check_text(key, value, kind.expected)
    canonical = None if isinstance(value, bool) or "/" in text else kind.canonical(text, today)
    if canonical is None:
        raise RequestError(f"key '{key}': {shown(value)} is not accepted; expected {kind.expected}")
    return canonical


def _coerce_list(
    key: str, kind: Kind, items: Sequence[object], rules: CoercionRules, today: date
) -> list[str]:
    if key not in rules.allow_lists:
        raise RequestError(f"key '{key}': a list {shown(items)} is not accepted; expected {kind.expected}")
    if not items or len(items) > MAX_VALUES:
        raise RequestError(
            f"key '{key}': a list of {len(items)} values is not accepted; expected 1 to {MAX_VALUES}"
        )
    values: dict[str, str] = {}
    problems: list[str] = []
    for item in items:
        if isinstance(item, str) and is_range(item):
            problems.append(
                f"key '{key}': {shown(item)} inside a list is not accepted; write a range a/to/b as one text"
            )
            continue
        try:
            text = _coerce_single(key, kind, item, today)
        except RequestError as error:
            problems.extend(error.problems)
            continue
        if folded(key, text) in values:
            problems.append(f"key '{key}': {shown(item)} is in the list twice; give each value once")
        values[folded(key, text)] = text
    if problems:
        raise RequestError(*problems)
    return list(values.values())


def _coerce_range(key: str, kind: Kind, text: str, rules: CoercionRules, today: date) -> str:
    if key not in rules.allow_ranges:
        instead = "a list or a single value" if key in rules.allow_lists else "a single value"
        raise RequestError(f"key '{key}': a range {shown(text)} is not accepted; expected {instead}")
    found = parse_range(key, text, today)
    for end in split(text)[0:3:2]:
        _coerce_single(key, kind, end, today)
    return str(found)


def _check_other(key: str, value: object, today: date) -> object:
    """A value of a key that is not coerced: as it is, once it is known to be harmless.

    A mapping is not looked into: only data sources that take mappings get it.
    """
    if isinstance(value, Mapping):
        return value
    expected = "a text, a number or a list of them"
    if isinstance(value, list | tuple):
        if not value:
            raise RequestError(f"key '{key}': an empty list is not accepted; expected {expected}")
        texts = [_check_text(key, item, expected) for item in value]
        _check_bounds(key, "/".join(texts), today)
        return texts
    if value is None:
        return value
    text = _check_text(key, value, expected)
    _check_bounds(key, text, today)
    return text if isinstance(value, date) else value


def _check_text(key: str, value: object, expected: str) -> str:
    """The text of a scalar that may stand in a MARS request as it is."""
    text = scalar_text(value)
    if text is None:
        raise RequestError(f"key '{key}': {shown(value)} is not accepted; expected {expected}")
    # The value as written counts, not its stripped text: keys that are not coerced keep it.
    written = value if isinstance(value, str) else text
    if character := _find_forbidden(written):
        raise RequestError(
            f"key '{key}': {shown(value)} contains {character!r}; "
            "expected no commas, equals signs, quotes, # ! \\ or control characters"
        )
    return text


def _find_forbidden(text: str) -> str:
    """The first character that may not stand in a value, the empty text if there is none."""
    # PERF: one search for texts that have none; a loop over the characters costs thirty times as much.
    if text.isascii():
        found = _SEPARATORS.search(text)
        return found[0] if found else ""
    return next(
        (one for one in text if _SEPARATORS.match(one) or unicodedata.category(one) in _UNPRINTABLE), ""
    )


# What separates, quotes or comments in a MARS request. Beyond ASCII: control and format characters,
# surrogates (which no back-end can encode), private and unassigned ones, and the two line separators.
_SEPARATORS = re.compile(r"""[,="'#!\\\x00-\x1f\x7f]""")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_bounds(key: str, text: str, today: date) -> None:
    """Refuse what a back-end would expand without end (10 million steps took metkit 73 s).

    Levels may run downwards, and words or quantiles (1:10) may stand at the ends; ends that are numbers to
    a back-end (1e9) and are not counted here are refused.
    """
    if not is_range(text):
        return
    found = read_range(key, text, today)
    if found is None and any(map(_is_numeric, split(text))):
        raise RequestError(not_a_range(key, text))
    if found is None:
        return
    if found.pitch == 0:
        raise RequestError(f"key '{key}': {shown(text)}: the number after 'by' must not be 0")
    if found.count > MAX_VALUES:
        raise RequestError(too_many(key, text, found.count))
