"""The grammar of the Authorization header (docs/rest-api.md)."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

#: A longer header is not looked at.
MAX_LENGTH = 8192
#: How many credentials of one header are tried: each may cost a password hash.
MAX_PARTS = 8

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,31}")
_UNREADABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


class Credential(NamedTuple):
    """One part of the header; never to be logged."""

    scheme: str
    credentials: str

    def secrets(self) -> list[str]:
        """The parts of it that let others pose as this caller; not the name of the user."""
        word, scheme = self.credentials, self.scheme.lower()
        if scheme in ("basic", "plain"):
            try:
                plain = base64.b64decode(word).decode()
            except ValueError:
                return [word]
            return [word, plain, plain.partition(":")[2]]
        if scheme == "federation":
            return [word, word.partition(":")[0]]
        return [word, word.partition(":")[2]]


def split(header: str) -> list[Credential]:
    """The credentials of a header, in order; parts that are not two words are left out.

    A header with control characters has none. `header` may be decoded as ISO 8859-1, as web servers do.
    """
    text = _decoded(header)
    if _UNREADABLE.search(text):
        return []
    parts = [part for part in text.split(",") if part.strip()][:MAX_PARTS]
    return [credential for part in parts if (credential := _credential(part)) is not None]


def _credential(part: str) -> Credential | None:
    words = part.strip().split(maxsplit=1)
    if len(words) != 2 or not _SCHEME.fullmatch(words[0]):
        return None
    return Credential(*words)


def _decoded(header: str) -> str:
    if header.isascii():
        return header
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header  # not UTF-8 in disguise


def challenge(scheme: str, realm: str, hint: str) -> str:
    """A value of WWW-Authenticate."""
    info = f", info={_quoted(hint)}" if hint else ""
    # RFC 7617, 2.1: without it a client may encode names and passwords as it likes, ISO 8859-1 for example.
    charset = ', charset="UTF-8"' if scheme.lower() == "basic" else ""
    return f"{scheme} realm={_quoted(realm)}{charset}{info}"


def _quoted(text: str) -> str:
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
