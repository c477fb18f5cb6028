"""The text of MARS: `retrieve, key = value, key = a/b`, with comments from # to the end of the line."""

from __future__ import annotations

import re
from typing import Any

from polytope_server.language.errors import RequestError, shown
from polytope_server.language.mappings import build_mapping
from polytope_server.language.ranges import split

_START = re.compile(r"\s*+(?:retrieve\s*+,\s*+)?([A-Za-z_][A-Za-z0-9_]*+)\s*+=", re.IGNORECASE)
_VERB = re.compile(r"\s*+retrieve\s*+,", re.IGNORECASE)
# Possessive throughout: no text makes it look at a character many times.
_PAIR = re.compile(r"""\s*+([A-Za-z_][A-Za-z0-9_]*+)\s*+=\s*+((?:"[^"]*+"|'[^']*+'|[^,"'=])*+)(?:,|\Z)""")
_QUOTED = re.compile(r""""[^"]*+"|'[^']*+'""")
_QUOTED_OR_COMMENT = re.compile(r""""[^"]*+"|'[^']*+'|#[^\r\n]*+""")
#: Verbs of MARS and their short forms, which begin a request.
_VERBS = frozenset(
    {"r", "ret", "retr", "retrieve", "archive", "list", "read", "compute", "write", "flush", "disseminate"}
)


def read(text: str) -> dict[str, Any] | None:
    """The mapping of a text in the language of MARS, values as text; None for other texts.

    Raises RequestError for a text that begins so and goes on otherwise, and for several requests.
    """
    text = _strip_comments(text) if "#" in text else text
    if not _START.match(text):
        return None
    text = text.rstrip()
    verb = _VERB.match(text)
    position = verb.end() if verb else 0
    pairs = []
    while position < len(text):
        pair = _PAIR.match(text, position)
        if not pair:
            rest = text[position:].lstrip()
            raise RequestError(f"{shown(rest)} is not accepted; expected key = value, key = value")
        if pair[0].endswith(",") and _ends_with_verb(pair[2]):
            raise RequestError("the text holds several requests; send each of them by itself")
        pairs.append((pair[1], _read_value(pair[1], pair[2])))
        position = pair.end()
    return build_mapping(pairs)


def _strip_comments(text: str) -> str:
    return _QUOTED_OR_COMMENT.sub(lambda found: "" if found[0].startswith("#") else found[0], text)


def _ends_with_verb(value: str) -> bool:
    """Whether another request begins on the last line of a value."""
    before, newline, last = value.rstrip().rpartition("\n")
    return bool(newline) and last.strip().lower() in _VERBS and not before.rstrip().endswith("/")


def _read_value(key: str, text: str) -> str:
    value = _QUOTED.sub(lambda quoted: quoted[0][1:-1], text)
    if key.lower() == "filter":
        return value.strip()  # a statement of its own, in which / may divide
    # Not by a regular expression: it would look at a run of spaces once for each of them.
    return "/".join(split(value))
