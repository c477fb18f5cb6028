"""Keeps credentials out of the log, and out of messages of data sources: one filter for all processes.

It hides known secrets, in each spelling in which libraries write them, and whatever looks like a credential.
An ordinary line costs a few searches for words, and no regular expression. Any other costs time in proportion
to its length: each quantifier is possessive, has a small bound, or is followed by nothing that could fail.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from polytope_server.media_types import EXTENSIONS

MASK = "***"
#: A shorter secret is not searched for: the log would be full of holes, which would give it away.
SHORTEST = 6

#: The one table of words that mark the name of a secret: in a configuration, an address, the attributes of
#: a user, and the log. `key` is also an ordinary word, so each use says which keys it means.
_SECRET_WORDS = ("passw", "passphrase", "pwd", "secret", "token", "credential", "signature", "cookie")
_WORDS = "|".join(_SECRET_WORDS)
#: In a configuration `keys` and `api-keys` are sections, and `api_key` and `key` are secrets.
_SECRET_KEY = re.compile(rf"{_WORDS}|authorization|apikey|(?:^|_)key$")
_PERHAPS_SECRET = re.compile(rf"{_WORDS}|authorization|key")

#: What the caller of the current call has shown as credentials, in all spellings.
_presented: ContextVar[tuple[str, ...]] = ContextVar("presented", default=())


class _Rule(NamedTuple):
    """What a credential looks like. A text without any of the `hints` (in lower case) has none of these."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


#: A word of a sentence, where a secret could stand as well: letters, and the first may be large.
_PROSE = r"(?![A-Za-z][a-z]*+[.,;:!?)'\"]*+(?:\s|$))"
_QUOTE = r"[\"'\\]"
#: What makes a text in quotes one of bytes.
_BYTES = rf"(?:b(?={_QUOTE}))?"
_VALUE = (
    r"(?:\\++\"(?:[^\\\n]++|\\++(?!\"))*+|\"(?:[^\"\\]++|\\.)*+\"?|'(?:[^'\\]++|\\.)*+'?|[^\s&;,\"'<>)}\]]++)"
)
_NAMES = rf"{_WORDS}|(?:api|access|private)[_-]?key"
_SCHEMES = ("basic", "bearer", "plain", "emailkey", "federation")

_RULES = (
    _Rule(
        ("authorization",),
        # A line of a header, to its end; an entry of a mapping or a pair, to the end of the quotes.
        re.compile(
            rf"(authorization{_QUOTE}{{0,40}}+(?:\s{{0,9}}+[:=]|(?<={_QUOTE})\s{{0,9}}+,)"
            rf"\s{{0,9}}+{_BYTES}{_QUOTE}{{0,40}}+)"
            rf"(?:(?<={_QUOTE})(?:[^\r\n\"'\\]++|{_QUOTE}++(?!\s*[,)}}\]]|[\r\n]|$))++"
            rf"|(?<!{_QUOTE})[^\r\n]+?(?=\\[nr]|[\r\n]|$))",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    _Rule(
        _SCHEMES,
        re.compile(rf"(?<![\w-])((?i:{'|'.join(_SCHEMES)})(?:\s++|%20|\+))(?!realm=){_PROSE}\S++"),
        rf"\1{MASK}",
    ),
    _Rule(
        (*_SECRET_WORDS, "key"),
        # name=value; "name": value; ("name", "value"); and name: value, unless that reads as a sentence.
        re.compile(
            rf"((?i:{_NAMES})[\w.-]{{0,40}}+"
            rf"(?:{_QUOTE}{{0,4}}+\s{{0,3}}+(?:=|%3D)\s{{0,3}}+{_BYTES}|{_QUOTE}{{1,4}}+\s{{0,3}}+:\s{{0,3}}+{_BYTES}"
            rf"|{_QUOTE}{{1,4}}+\s{{0,3}}+,\s{{0,3}}+{_BYTES}(?={_QUOTE})|:\s{{1,3}}{_PROSE})){_VALUE}"
        ),
        rf"\1{MASK}",
    ),
    # User and password within an address.
    _Rule(("://",), re.compile(r"://[^/\s]*@"), rf"://{MASK}@"),
    # A JSON Web Token, signed or encrypted, or a part of one.
    _Rule(("eyj",), re.compile(r"eyJ[\w-]{6,}(?:\.[\w-]*)*"), MASK),
    _Rule(("$argon2",), re.compile(r"\$argon2[\w$=,+/.-]+"), MASK),
    _Rule(("sealed.v",), re.compile(r"sealed\.v\d\.[\w=-]+"), MASK),
    # The name of a result is a capability: it is enough to read the result.
    _Rule(
        tuple(f".{extension}" for extension in EXTENSIONS.values()),
        re.compile(rf"/[0-9a-f]{{32}}(?=\.(?:{'|'.join(EXTENSIONS.values())}))"),
        f"/{MASK}",
    ),
)
#: PERF: nearly every line has none of these, and is done.
_HINTS = tuple(hint for rule in _RULES for hint in rule.hints)


def is_secret(name: object) -> bool:
    """Whether a key of that name in the configuration holds a secret. `api-keys`, a section, does not."""
    return bool(_SECRET_KEY.search(str(name).lower().replace("-", "_")))


def may_be_secret(name: str) -> bool:
    """Whether what others named so, an attribute of a user or a parameter of an address, may be a secret."""
    return bool(_PERHAPS_SECRET.search(name.lower()))


class Redactor:
    """Hides known secrets, and what looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._counts: Counter[str] = Counter()
        self._spellings: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these, too, from now on. Those shorter than :data:`SHORTEST` are left out."""
        self._counts.update(set(secrets))
        self._spell()

    @contextmanager
    def knowing(self, secrets: Iterable[str]) -> Iterator[None]:
        """Hide these, too, within the context, in all threads of the process."""
        own = set(secrets)
        self.learn(own)
        try:
            yield
        finally:
            self._counts.subtract(own)
            self._counts = +self._counts
            self._spell()

    def _spell(self) -> None:
        self._spellings = spellings(self._counts)

    def redact(self, text: str) -> str:
        """The text with `***` in place of secrets."""
        text = self.without_known(text)
        lowered = text.lower()
        for hint in _HINTS:
            if hint in lowered:
                break
        else:
            return text
        for hints, pattern, replacement in _RULES:
            if any(hint in lowered for hint in hints):
                text = pattern.sub(replacement, text)
        return text

    def without_known(self, text: str) -> str:
        """The text with `***` in place of secrets that are known, and nothing else changed."""
        for spelling in (*self._spellings, *_presented.get()):
            if spelling in text:
                text = text.replace(spelling, MASK)
        return text


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Each secret as it is, and as JSON, Python and addresses write it; the longest first."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST:
            octets = secret.encode("utf-8", "surrogatepass")
            found |= {secret, repr(secret)[1:-1], repr(octets)[2:-1], base64.b64encode(octets).decode()}
            found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
            found |= {quote(octets), quote(octets, safe=""), quote_plus(octets)}
    return tuple(sorted(found, key=len, reverse=True))


def present(secrets: Iterable[str]) -> None:
    """Hide these in whatever the current call logs: what its caller shows as credentials."""
    _presented.set(spellings(secrets))


#: That of this process.
redactor = Redactor()
