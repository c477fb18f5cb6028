"""Objects of a size that is not known beforehand, in parts: how large these are, and how many wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from polytope_server.staging.gathering import Place

#: Limits of S3 (Amazon S3 user guide, "multipart upload limits"), in bytes; the last part may be smaller.
SMALLEST_PART, LARGEST_PART = 5 << 20, 5 << 30
MOST_PARTS = 10_000
_DOUBLED_AFTER = 900
_SMALL = 256 << 10


def part_sizes(first: int) -> Iterator[int]:
    """The sizes of the parts of an object, in bytes, the first about `first`.

    All parts together hold 5 TiB or more. The size stays as it is for the first 900 parts, as what is on its
    way is in memory, and doubles after every 900.
    """
    size = min(max(first, SMALLEST_PART), LARGEST_PART)
    for number in range(MOST_PARTS):
        yield min(size << number // _DOUBLED_AFTER, LARGEST_PART)


class _Part:
    """A part that is gathered. What is small takes little memory, and what is larger takes all of it at once:
    to grow step by step leaves holes, which cost half as much again.
    """

    def __init__(self, size: int) -> None:
        self._size, self._filled = size, 0
        self._bytes = bytearray(min(size, _SMALL))

    def take(self, chunk: memoryview) -> memoryview:
        """Take in what there is room for; returns the rest."""
        end = min(self._filled + len(chunk), self._size)
        if end > len(self._bytes):
            small, self._bytes = self._bytes, bytearray(self._size)
            self._bytes[: len(small)] = small
        taken = end - self._filled
        # Assigned to the bytearray itself they would be copied once more.
        with memoryview(self._bytes) as view:
            view[self._filled : end] = chunk[:taken]
        self._filled = end
        return chunk[taken:]

    def outgrows(self, chunk: memoryview) -> bool:
        """Whether it takes all its memory from this chunk on."""
        return len(self._bytes) < self._size and self._filled + len(chunk) > len(self._bytes)

    @property
    def filled(self) -> int:
        """The bytes that it holds."""
        return self._filled

    @property
    def size(self) -> int:
        """The bytes that it holds when it is full."""
        return self._size

    @property
    def full(self) -> bool:
        return self._filled == self._size

    def end(self) -> bytearray:
        """What was gathered; nothing more is taken in."""
        del self._bytes[self._filled :]
        return self._bytes


async def cut(
    chunks: AsyncIterator[bytes], sizes: Iterator[int], place: Place
) -> AsyncIterator[tuple[bytearray, bool]]:
    """The bytes of the chunks in parts of those sizes, each with whether it is the last.

    `place` is where they are gathered; who takes a part answers for its memory from then on. There is
    always a last one: it may be smaller, and is empty if there are no bytes at all.
    """
    part = _Part(next(sizes))
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            if part.full:
                place.complete()
                yield part.end(), False
                place.leave()
                part = _Part(next(sizes))
            if part.outgrows(rest):
                await place.enter(part.size)
            rest = part.take(rest)
            place.filled = part.filled
    place.complete()
    yield part.end(), True


class Window:
    """Bounds the bytes that are on their way at a time, of however many objects. First come, first served."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes. A part that is larger goes alone."""
        self._limit = limit
        self._size = 0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until this many bytes may be sent. Each call is followed by one of :meth:`leave`."""
        async with self._turn:
            while self._size and self._size + size > self._limit:
                self._left.clear()
                await self._left.wait()
            self._size += size

    def leave(self, size: int) -> None:
        """This many bytes are no longer on their way."""
        self._size -= size
        self._left.set()
