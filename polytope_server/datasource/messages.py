"""Where GRIB and BUFR messages end: of one message by its head, and of a stream of them as it passes."""

from __future__ import annotations

from collections.abc import Callable, Generator

#: Asks for bytes of a message, from one position to another (ascending), and returns its length; None if it
#: is of no known edition. Bytes are missing only at the end of the stream.
Measure = Generator[tuple[int, int], bytes, int | None]

#: What is read of each message before anything is known of it.
HEAD = 16
_END = b"7777"
#: Bytes of a GRIB edition 1 indicator section.
_INDICATOR_1 = 8


def length_of_grib(look: Callable[[int, int], bytes]) -> int | None:
    """The length of the message that `look(start, end)` shows bytes of; None if it is of no known edition."""
    asking = measure_grib()
    wanted = next(asking)
    while True:
        try:
            wanted = asking.send(look(*wanted))
        except StopIteration as found:
            length: int | None = found.value
            return length


def measure_grib() -> Measure:
    """The length of a GRIB message (WMO Manual on Codes I.2, FM 92, section 0)."""
    head = yield 0, HEAD
    edition = head[7] if len(head) == HEAD else None
    if edition == 2:
        return int.from_bytes(head[8:16], "big")
    if edition != 1:
        return None
    length = int.from_bytes(head[4:7], "big")
    return (yield from _measure_long_grib_1(head, length)) if length & 0x800000 else length


def _measure_long_grib_1(head: bytes, length: int) -> Measure:
    """The length of an edition 1 message of 8 MiB or more, which three octets cannot hold.

    ECMWF's convention, as eccodes reads it: the top bit is set, the rest counts units of 120 bytes, and the
    length of section 4 says by how much (less than 120, and 4 for the end section) that is too much.
    """
    position = _INDICATOR_1 + int.from_bytes(head[8:11], "big")
    # Octet 8 of section 1 says whether the grid (section 2) and the bitmap (section 3) are there.
    for flag in (0x80, 0x40):
        if head[15] & flag:
            position += int.from_bytes((yield position, position + 3), "big")
    excess = int.from_bytes((yield position, position + 3), "big")
    return (length & 0x7FFFFF) * 120 - excess + 4 if excess < 120 else length


def _measure_bufr() -> Measure:
    """The length of a BUFR message (FM 94), from edition 2 on; earlier ones do not have it."""
    head = yield 0, HEAD
    return int.from_bytes(head[4:7], "big") if len(head) == HEAD and head[7] >= 2 else None


_KINDS: dict[bytes, Callable[[], Measure]] = {b"GRIB": measure_grib, b"BUFR": _measure_bufr}


class DamagedError(ValueError):
    """A stream of messages is cut short, or damaged. The text says where."""


class Follower:
    """Follows a stream of GRIB or BUFR messages as it passes, and keeps next to nothing of it.

    A stream that begins with neither is not looked into. Between messages there may be zeros.
    """

    def __init__(self) -> None:
        #: What the stream begins with: `GRIB`, `BUFR`, or nothing of these.
        self.kind: bytes | None = None
        #: Whole messages so far.
        self.count = 0
        self._known = True
        self._inside = False
        self._held = bytearray()
        self._offset = 0
        self._skip = 0
        self._parts = self._follow()
        self._wanted = next(self._parts)

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the stream. Raises DamagedError."""
        position = 0
        while self._known and position < len(chunk):
            if self._skip:
                taken = min(self._skip, len(chunk) - position)
                self._skip -= taken
            else:
                taken = min(self._wanted - len(self._held), len(chunk) - position)
                self._held += chunk[position : position + taken]
            position += taken
            self._offset += taken
            if len(self._held) == self._wanted and not self._skip:
                self._go_on()

    def end(self) -> None:
        """The stream has ended. Raises DamagedError unless that is the end of a message."""
        if self.kind is not None and (self._inside or self._held.strip(b"\0")):
            raise DamagedError(f"the data end within message {self.count + 1}, at byte {self._offset}")

    def _go_on(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        try:
            self._wanted = self._parts.send(held)
        except StopIteration:
            self._known = False

    def _follow(self) -> Generator[int, bytes, None]:
        """Ask for numbers of bytes; what need not be seen is skipped."""
        while True:
            kind = yield from self._find_start()
            if kind not in _KINDS:
                if self.kind is not None:
                    raise DamagedError(f"no message begins at byte {self._offset - len(kind)}")
                return
            self.kind, self._inside = self.kind or kind, True
            length = yield from self._pass_message(kind)
            self._inside = False
            if length is None:
                return
            self.count += 1

    def _find_start(self) -> Generator[int, bytes, bytes]:
        """The first four bytes of the next message."""
        start = yield 4
        while self.kind is not None and not start[0]:
            start = start.lstrip(b"\0")
            start += yield 4 - len(start)
        return start

    def _pass_message(self, kind: bytes) -> Generator[int, bytes, int | None]:
        """Go to the end of a message, and return its length; None if it does not say where that is."""
        measure = _KINDS[kind]()
        start, end = next(measure)
        seen, position = kind + (yield end - len(kind)), end
        while True:
            try:
                start, end = measure.send(seen)
            except StopIteration as found:
                length: int | None = found.value
                break
            self._leave_out(start - position)
            seen, position = (yield end - start), end
        if length is not None:
            self._leave_out(length - position - len(_END))
            if (yield len(_END)) != _END:
                raise DamagedError(f"message {self.count + 1} does not end after its {length} bytes")
        return length

    def _leave_out(self, count: int) -> None:
        if count < 0:
            raise DamagedError(f"message {self.count + 1} has wrong lengths")
        self._skip = count
