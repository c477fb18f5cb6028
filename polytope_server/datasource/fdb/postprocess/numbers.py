"""Numbers in values of requests: read exactly, and written without exponents."""

from __future__ import annotations

import re
from decimal import Decimal

_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,6}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:[eE][+-]?[0-9])?")
_WHOLE = re.compile("[0-9]{1,6}")


def read_decimals(text: str, count: int, expected: str) -> list[Decimal]:
    """The numbers in a text, which has `count` of them. ValueError says what is expected."""
    words = [word.strip() for word in text.split("/")]
    if len(words) != count or not all(map(_DECIMAL.fullmatch, words)):
        raise ValueError(expected)
    return [Decimal(word) for word in words]


def read_whole(text: str, least: int, most: int, expected: str) -> int:
    """A whole number within two bounds. ValueError says what is expected."""
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(expected)
    return int(text)


def plain(number: Decimal) -> str:
    """A number without an exponent, and zeros that say nothing: 1.0 and 1 are one number."""
    return f"{number.normalize() + 0:f}"
