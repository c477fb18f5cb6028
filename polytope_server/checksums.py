"""The MD5 sum that whoever sends data announces in a header, in hex or (RFC 1864) in base64."""

from __future__ import annotations

import base64
import binascii
import re

_MD5 = re.compile(r"[0-9a-f]{32}")
_SIZE = 16


def announced_md5(x_checksum: str | None, content_md5: str | None) -> str | None:
    """The sum in hex from the values of `X-Checksum` and `Content-MD5`, None if neither is there.

    Raises ValueError if it is no MD5 sum.
    """
    given = (x_checksum or content_md5 or "").strip()
    if not given or _MD5.fullmatch(given.lower()):
        return given.lower() or None
    try:
        digest = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _SIZE:
        raise ValueError("this is no MD5 sum")
    return digest.hex()
