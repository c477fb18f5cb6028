"""GRIB messages in a stream of bytes: where each one ends, and which field it holds."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.messages import length_of_grib
from polytope_server.language.values import KINDS, utc_today

_START, _END = b"GRIB", b"7777"
#: Bytes of the indicator section of edition 2.
_INDICATOR_2 = 16
#: Of edition 2: the section with the values of a field, and the bytes of a section's head.
_DATA_SECTION, _SHORTEST_SECTION = 7, 5
#: What eccodes gives to a parameter of edition 2 that it has no number for.
_UNKNOWN_PARAM = "0"


class _Input:
    """A stream of which the first bytes can be looked at before they are taken."""

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self.offset = 0

    def peek(self, size: int, start: int = 0) -> bytes:
        """Those of the first `size` bytes that follow on `start`, fewer only at the end of the stream."""
        self._hold(size)
        with memoryview(self._held) as view:
            return bytes(view[start:size])

    def take(self, size: int) -> bytearray:
        """The first `size` bytes, and go on after them. They are in the buffer that they were gathered in."""
        self._hold(size)
        taken = self._held
        self._held = taken[size:]
        del taken[size:]
        self.offset += len(taken)
        return taken

    def _hold(self, size: int) -> None:
        # It grows with what comes: the length that a message claims may be a lie.
        while len(self._held) < size and (chunk := next(self._chunks, None)) is not None:
            self._held += chunk


def split(
    chunks: Iterable[bytes | memoryview], max_message: int, what: str = "the upload"
) -> Iterator[bytearray]:
    """Each GRIB message (edition 1 or 2) of a stream, whole, in the one buffer that holds it.

    `what` is how users call the stream.

    DataSourceError for anything between the messages, for one that is cut short, and for one that is longer
    than `max_message` bytes.
    """
    stream = _Input(chunks)
    while start := stream.peek(_INDICATOR_2):
        where = f"{what} at byte {stream.offset}"
        if not start.startswith(_START):
            raise DataSourceError(f"{where} is not the start of a GRIB message")
        length = _length(stream, where)
        if length > max_message:
            raise DataSourceError(
                f"{where}: the message has {length} bytes; at most {max_message} are accepted"
            )
        message = stream.take(length)
        if len(message) < length or length < _INDICATOR_2 or not message.endswith(_END):
            raise DataSourceError(f"{where}: the GRIB message is cut short or damaged")
        yield message
        # The next one gets a buffer of its own: what is not let go of now would be held beside it.
        del message


def of_edition(
    chunks: Iterable[bytes | memoryview], edition: int, max_message: int, size: int
) -> Iterator[memoryview]:
    """The messages of a stream, in chunks of at most `size` bytes, as long as all are of one edition.

    DataSourceError for one of another edition, and as in :func:`split`.
    """
    for message in split(chunks, max_message, "what is stored"):
        if message[7] != edition:
            raise DataSourceError(
                f"key 'format': GRIB of edition {edition} is asked for, and a field is of edition "
                f"{message[7]}; fields are served as they are stored: leave it out, or say 'grib'"
            )
        for start in range(0, len(message), size):
            yield memoryview(message)[start : start + size]


def _length(stream: _Input, where: str) -> int:
    """The length of the message that the stream is at."""
    length = length_of_grib(lambda start, end: stream.peek(end, start))
    if length is None:
        raise DataSourceError(f"{where}: only GRIB editions 1 and 2 are accepted")
    return length


@dataclass(frozen=True, slots=True)
class Field:
    """The MARS keys of the one field of a message (and its `shortName`), and the message without its data."""

    keys: dict[str, str]
    header: bytes


def read_field(message: bytearray) -> Field:
    """The field that a message holds. DataSourceError if it holds several, or an unknown parameter."""
    import eccodes

    _check_single(message)
    try:
        with handle_of(message) as handle:
            keys = _mars_keys(handle)
            if keys.get("param") == _UNKNOWN_PARAM:
                raise DataSourceError(f"a message has a parameter without a number in MARS: {_codes(handle)}")
            keys["shortName"] = eccodes.codes_get_string(handle, "shortName")
            return Field(keys, _header(handle))
    except eccodes.MemoryAllocationError as error:
        raise MemoryError from error
    except eccodes.CodesInternalError as error:
        raise DataSourceError(f"a GRIB message cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Shape:
    """What is in a message, in ecCodes' terms: the type of the grid (`sh`: none), and the parameter."""

    grid_type: str
    param: int
    edition: int


def read_shape(message: bytearray) -> Shape:
    """The shape of the field that a message holds. DataSourceError if it cannot be read."""
    import eccodes

    try:
        with handle_of(message) as handle:
            grid_type = eccodes.codes_get_string(handle, "gridType")
            return Shape(grid_type, eccodes.codes_get_long(handle, "paramId"), message[7])
    except eccodes.CodesInternalError as error:
        raise DataSourceError(f"a GRIB message cannot be read: {error}") from error


def _check_single(message: bytearray) -> None:
    """Refuse an edition 2 message that repeats sections: eccodes and the FDB know its first field only."""
    if message[7] != 2:
        return
    position, fields = _INDICATOR_2, 0
    while position < len(message) - len(_END):
        length = int.from_bytes(message[position : position + 4], "big")
        fields += message[position + 4] == _DATA_SECTION
        if length < _SHORTEST_SECTION:
            raise DataSourceError("a GRIB message cannot be read: a section has no length")
        position += length
    if position != len(message) - len(_END):
        raise DataSourceError("a GRIB message cannot be read: its sections do not add up to its length")
    if fields != 1:
        raise DataSourceError(
            f"a message holds {fields} fields, and only messages of one field can be archived; "
            "grib_copy of ecCodes makes one message of each"
        )


def _header(handle: int) -> bytes:
    """The message without its values, which takes a thousandth of the memory."""
    import eccodes

    clone = eccodes.codes_clone(handle, headers_only=True)
    try:
        return bytes(eccodes.codes_get_message(clone))
    finally:
        eccodes.codes_release(clone)


def _codes(handle: int) -> str:
    """What a message says of its parameter in the WMO's terms (edition 2, code tables 4.1 and 4.2)."""
    import eccodes

    names = ("discipline", "parameterCategory", "parameterNumber")
    return ", ".join(f"{name} {eccodes.codes_get(handle, name)}" for name in names)


@contextmanager
def handle_of(message: bytearray) -> Iterator[int]:
    """What eccodes knows the message by, which it reads where it is: its Python package only makes copies."""
    import eccodes
    from gribapi.bindings import library_path

    new = ctypes.CDLL(library_path).grib_handle_new_from_message
    new.restype = ctypes.c_void_p
    new.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    held = (ctypes.c_char * len(message)).from_buffer(message)
    handle = new(None, ctypes.addressof(held), len(message))
    if not handle:
        raise eccodes.MessageInvalidError("it is none")
    try:
        yield handle
    finally:
        eccodes.codes_release(handle)


def _mars_keys(handle: int) -> dict[str, str]:
    import eccodes

    keys = {}
    iterator = eccodes.codes_keys_iterator_new(handle, "mars")
    try:
        while eccodes.codes_keys_iterator_next(iterator):
            name = eccodes.codes_keys_iterator_get_name(iterator)
            keys[name] = eccodes.codes_get_string(handle, name)
    finally:
        eccodes.codes_keys_iterator_delete(iterator)
    return keys


def check_identity(keys: Mapping[str, str], allowed: Mapping[str, Collection[str]]) -> None:
    """Refuse a message with MARS keys outside of a request. DataSourceError names the key and the value.

    `allowed` are the request's values by key, as made by :func:`canonical`. A key of the request that the
    message does not have is refused as well, but for `levelist`, which only some fields have; keys that
    the request does not name are not looked at.
    """
    for key, values in allowed.items():
        names = {keys[name] for name in ((key, "shortName") if key == "param" else (key,)) if name in keys}
        if not names and key != "levelist":
            raise DataSourceError(f"the request names '{key}', but a message has no such key")
        if names and not any(canonical(key, name) in values for name in names):
            shown = "/".join(sorted(names))
            raise DataSourceError(f"a message has {key}={shown}, which is not in the request")


def canonical(key: str, value: str) -> str:
    """One spelling for values that requests take for the same, or that differ in case or leading zeros.

    `param` may have the table 128.
    """
    text = value.strip().lower()
    if key == "param":
        text = text.removesuffix(".128")
    if kind := KINDS.get(key):
        text = kind.canonical(text, utc_today()) or text
    if re.fullmatch("[0-9]+", text):
        return str(int(text))
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        return f"{Decimal(text).normalize():f}"
    return text
