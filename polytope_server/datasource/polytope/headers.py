"""The header of a GRIB message in a file: which grid and which parameter a field has, without its values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Bytes of an indicator section, and of the number and length at the start of each other one (edition 2).
_INDICATOR, _SECTION_HEAD = 16, 5
_DATA_SECTION = 7
_END = b"7777"
#: Sections of a message, repeated ones too; more are not looked at.
_MAX_SECTIONS = 32


def read_header(path: str | Path, offset: int, length: int) -> bytes:
    """A message of a file without its values, which ecCodes reads as if it had them.

    Messages of edition 1 come whole. ValueError if there is none, OSError if the file cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        start = os.pread(file, _INDICATOR, offset)
        if len(start) < _INDICATOR or not start.startswith(b"GRIB"):
            raise ValueError(f"{path} has no GRIB message at {offset}")
        if start[7] != 2:
            return os.pread(file, length, offset)
        size = _header_size(file, offset, length)
        return _shortened(os.pread(file, size, offset))
    finally:
        os.close(file)


def _header_size(file: int, offset: int, length: int) -> int:
    """Bytes of a message of edition 2 before the section with its values."""
    position = _INDICATOR
    for _ in range(_MAX_SECTIONS):
        head = os.pread(file, _SECTION_HEAD, offset + position)
        if len(head) < _SECTION_HEAD or position >= length:
            break
        if head[4] == _DATA_SECTION:
            return position
        position += max(int.from_bytes(head[:4], "big"), _SECTION_HEAD)
    raise ValueError("a GRIB message has no section with data")


def _shortened(header: bytes) -> bytes:
    """The header as a message of its own, with no values in its last section."""
    total = len(header) + _SECTION_HEAD + len(_END)
    empty = _SECTION_HEAD.to_bytes(4, "big") + bytes([_DATA_SECTION])
    return header[:8] + total.to_bytes(8, "big") + header[_INDICATOR:] + empty + _END


@contextmanager
def opened(message: bytes) -> Iterator[int]:
    """The handle by which ecCodes knows a message."""
    import eccodes

    handle: int = eccodes.codes_new_from_message(message)
    try:
        yield handle
    finally:
        eccodes.codes_release(handle)
