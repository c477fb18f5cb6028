"""How much more may be stored: what the quota leaves, and the disk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from polytope_server.staging.local import StagingFullError


class Space:
    """Counts the bytes of all objects, unfinished ones too."""

    def __init__(self, quota: int | None, folder: Path) -> None:
        self._quota = quota
        self._folder = folder
        self._used = 0

    def count(self, size: int) -> None:
        """Count so many bytes more, which are there already."""
        self._used += size

    def take(self, size: int) -> None:
        """Count so many bytes more. Raises StagingFullError, and counts none, if they are too many."""
        if self._quota is not None and self._used + size > self._quota:
            raise StagingFullError(f"the quota of {self._quota} bytes leaves {self._quota - self._used}")
        self._used += size

    def give_back(self, size: int) -> None:
        """Count so many bytes less."""
        self._used -= size

    def share(self, announced: int) -> Share:
        """The part of one object that is written, of which so many bytes are announced. Raises likewise."""
        status = os.statvfs(self._folder)
        if announced > status.f_bavail * status.f_frsize:
            raise StagingFullError(f"the disk has no room for {announced} bytes")
        return Share(self, announced)


class Share:
    """What one object that is written has of the space; it ends with the context, unless it is kept."""

    def __init__(self, space: Space, announced: int) -> None:
        space.take(announced)
        self._space, self._taken, self._size = space, announced, 0
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._space.give_back(self._taken - self._size if self._kept else self._taken)

    def keep(self) -> None:
        """The object is there to stay."""
        self._kept = True

    async def counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, as long as there is room for them. Raises StagingFullError."""
        async for chunk in chunks:
            self._size += len(chunk)
            if self._size > self._taken:
                self._space.take(self._size - self._taken)
                self._taken = self._size
            yield chunk
