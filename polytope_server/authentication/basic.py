"""The credentials of the scheme Basic (RFC 7617)."""

from __future__ import annotations

import base64
import hashlib
import hmac


def decode(credentials: str) -> tuple[str, str] | None:
    """User name and password of base64(`user:password`), split at the first colon; None if it is not that."""
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and username else None


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing of either, not even a length."""
    return hmac.compare_digest(_digest(one), _digest(other))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
