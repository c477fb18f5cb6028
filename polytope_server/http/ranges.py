"""Parts of an object that a GET asks for: the header Range, and the body of several parts (RFC 9110, 14)."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

_UNIT = "bytes="
_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")
#: Each part is a read of its own. Clients bound the header, to 4 KB for example, and not the number.
_MOST = 1024

#: Reads bytes of an object from a place on: `read(start, length)`.
Read = Callable[[int, int], AsyncIterator[bytes]]


class Part(NamedTuple):
    """The first byte of a part, and how many it has."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The header Content-Range, in an object of this size."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_ranges(header: str, size: int) -> list[Part] | None:
    """The parts that a header Range asks for, of an object of this size, in its order.

    Parts outside of the object are left out. None: the header is to be ignored, because it is none, because
    it has too many parts, or because the whole object is less than the sum of its parts.
    """
    unit, listed = header[: len(_UNIT)], header[len(_UNIT) :]
    # `bytes=,0-1` is a list, too (RFC 9110, 5.6.1).
    specs = [spec for text in listed.split(",", _MOST + 1) if (spec := text.strip())]
    if unit.lower() != _UNIT or not 0 < len(specs) <= _MOST:
        return None
    parts = []
    for spec in specs:
        part = _parse_range(spec, size)
        if part is None:
            return None
        if part.length > 0:
            parts.append(part)
    return parts if sum(part.length for part in parts) <= size else None


def _parse_range(spec: str, size: int) -> Part | None:
    """One part, of no bytes if it lies outside of the object; None if it is no range."""
    found = _RANGE.fullmatch(spec)
    if found is None or spec == "-":
        return None
    first, last = found.groups()
    if not first:
        start = max(0, size - int(last))
        return Part(start, size - start)
    start = int(first)
    if last and int(last) < start:
        return None
    end = min(int(last), size - 1) if last else size - 1
    return Part(start, max(0, end - start + 1))


class MultipartBody:
    """The body of several parts of an object, each with a head of its own."""

    def __init__(self, parts: Sequence[Part], size: int, content_type: str) -> None:
        """`size` and `content_type` are those of the whole object."""
        # Unguessable, so that it is not in the data of anyone.
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        self._parts = [
            (
                part,
                f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
                f"Content-Range: {part.content_range(size)}\r\n\r\n".encode(),
            )
            for part in parts
        ]
        self._end = f"\r\n--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """The bytes of the body."""
        return sum(len(head) + part.length for part, head in self._parts) + len(self._end)

    async def chunks(self, read: Read) -> AsyncIterator[bytes]:
        """The body, with the bytes that `read` gives."""
        for part, head in self._parts:
            yield head
            async for chunk in read(*part):
                yield chunk
        yield self._end
