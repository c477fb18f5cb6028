"""Requests in the language of MARS, written so that no value can add a key, or end the request.

What separates or quotes there is refused by coercion in all values but that of `filter`. What is not a plain
word is quoted all the same: MARS reads more than letters, digits and a few signs only within quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.no_request import describe_no_request
from polytope_server.language.ranges import joined, split

TARGET = "target"
"""The key that says where the data go. It is the server's: one of a request has no effect."""

#: Keys that would have MARS read files of the worker, or keep the data in its memory.
_REFUSED = {"source": "data come from MARS, and from no file", "fieldset": "data are delivered, and not kept"}
_WORD = re.compile("[A-Za-z0-9_.:@-]+")


def check(request: Mapping[str, Any], verb: str) -> None:
    """Raise DataSourceError, with everything that is wrong, for a retrieval that MARS must not get."""
    if verb != "retrieve":
        return
    if "data" in request:  # what coercion makes of anything but a mapping; defaults may be beside it
        raise DataSourceError(describe_no_request(request["data"]))
    problems = keys.describe_unknown(request, "MARS")
    problems += [f"key '{key}' is not accepted: {why}" for key, why in _REFUSED.items() if key in request]
    problems += _find_problems(request)
    if not set(request) - keys.NOT_DATA:
        problems.append("the request chooses no fields; expected keys of MARS, such as class, param and date")
    if problems:
        raise DataSourceError(str(RequestError(*problems)))


def _find_problems(request: Mapping[str, Any]) -> Iterator[str]:
    for key, value in request.items():
        if key != TARGET:
            try:
                quoted(key, value)
            except RequestError as error:
                yield from error.problems


def write(request: Mapping[str, Any], target: Path) -> str:
    """The text of a request that was checked, with the file that the data are written to."""
    pairs = [f"{key}={value}" for key, value in values(request).items()]
    return ",".join(["retrieve", *pairs, f'{TARGET}="{target}"']) + "\n"


def values(request: Mapping[str, Any]) -> dict[str, str]:
    """The values of a request that was checked, as they stand in its text; without the target."""
    return {key: quoted(key, value) for key, value in request.items() if key != TARGET}


def quoted(key: str, value: Any) -> str:
    """A value as it stands in the text of a request. Raises RequestError if it cannot."""
    if key == "filter":
        return _quote_statement(key, value)
    parts = joined(key, value)
    words = split(parts)
    if not all(words):
        raise RequestError(
            f"key '{key}': {shown(parts)} has an empty value; expected values between the slashes"
        )
    return "/".join(word if _WORD.fullmatch(word) else _quote(key, word) for word in words)


def _quote_statement(key: str, value: Any) -> str:
    """A statement (SQL) in one pair of quotes, in which it may come."""
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        text = text[1:-1]
    if not text:
        raise RequestError(f"key '{key}': {shown(value)} is not accepted; expected a statement as a text")
    return _quote(key, text)


def _quote(key: str, text: str) -> str:
    # Within quotes a backslash hides the next character, and # begins a comment that takes the quote away.
    wrong = next((one for one in text if one in "\\#" or not one.isprintable()), "")
    quote = next((mark for mark in "\"'" if mark not in text), "")
    if wrong or not quote:
        found = repr(wrong) if wrong else "both kinds of quotes"
        raise RequestError(
            f"key '{key}': {shown(text)} contains {found}; expected a text without # \\ and control "
            "characters, with one kind of quotes at most"
        )
    return f"{quote}{text}{quote}"
