"""Sums of data: the MD5 that their sender announces in a header, and those of what is written."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import xxhash

_MD5 = re.compile(r"[0-9a-f]{32}")
_SIZE = 16


def announced_md5(x_checksum: str | None, content_md5: str | None) -> str | None:
    """The sum in hex from the values of `X-Checksum` and `Content-MD5`, None if neither is there.

    The latter may be in hex, or in base64 (RFC 1864). Raises ValueError if it is no MD5 sum.
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


class Sums:
    """The sums of bytes that come block by block.

    XXH3 (128 bits) shows two processes that they mean the same bytes, and is 25 times as fast as MD5, which
    clients know.
    """

    def __init__(self, md5_up_to: int | None = None) -> None:
        """`md5_up_to` is the number of bytes beyond which the MD5 sum is not computed."""
        self._md5_up_to = md5_up_to
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._xxh3 = xxhash.xxh3_128()

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._size += len(block)
        self._xxh3.update(block)
        if self._has_md5():
            self._md5.update(block)

    def _has_md5(self) -> bool:
        return self._md5_up_to is None or self._size <= self._md5_up_to

    @property
    def md5(self) -> str:
        """In hex; empty if there were too many bytes."""
        return self._md5.hexdigest() if self._has_md5() else ""

    @property
    def xxh3(self) -> str:
        """In hex."""
        return self._xxh3.hexdigest()
