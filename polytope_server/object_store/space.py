"""How much more may be stored: what the quota leaves, and the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import NoReturn, Self

from polytope_server.staging import LargestObjectError
from polytope_server.staging.space import Disk, is_most, refuse, refuse_announced


class Space:
    """Counts the bytes of all objects against the quota, unfinished ones too.

    Of the disk it knows what is announced and has not come yet; what comes is checked where it is written
    (:class:`~polytope_server.staging.space.Claim`).
    """

    def __init__(self, quota: int | None, disk: Disk) -> None:
        self._quota = quota
        self._disk = disk
        self._used = 0
        self._shares: set[Share] = set()

    def count(self, size: int) -> None:
        """Count `size` bytes more, which are there already."""
        self._used += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self._used -= size

    def left(self) -> int:
        """Bytes that may still be announced; less than 0 if there are too many already. Raises OSError."""
        free, _ = self._disk.measure()
        free -= sum(share.taken - share.size for share in self._shares)
        return free if self._quota is None else min(free, self._quota - self._used)

    def admit(self, size: int) -> None:
        """Return if an object of `size` bytes would fit now; changes nothing. Raises as :meth:`share`."""
        self._check_disk(size)
        if self._quota is not None and size > (left := self._quota - self._used):
            refuse_announced(size, self._quota, _describe_lack(self._quota, left))

    def share(self, announced: int) -> Share:
        """The part of one object that is written, of which that many bytes are announced.

        Raises StagingFullError and ObjectTooLargeError if they do not fit.
        """
        self._check_disk(announced)
        share = Share(self)
        self.take(share, announced)
        self._shares.add(share)
        return share

    def _check_disk(self, announced: int) -> None:
        free, total = self._disk.measure()
        if announced > free - sum(share.taken - share.size for share in self._shares):
            reason = f"the disk has no room for {announced} bytes"
            refuse_announced(announced, self._disk.capacity(total), reason)

    def take(self, share: Share, more: int) -> None:
        """Count that many bytes more for an object. Raises as :meth:`share`, and counts none.

        A larger object that is still being written gives way to it.
        """
        while self._quota is not None and self._used + more > self._quota:
            growing = (other for other in self._shares if other.is_growing)
            largest = max(growing, key=lambda other: other.size, default=share)
            if largest.size <= share.taken + more:
                self._refuse(share, more, self._quota)
            self.end(largest, 0)
        self._used += more
        share.taken += more

    def _refuse(self, share: Share, more: int, quota: int) -> NoReturn:
        size, left = share.taken + more, max(0, quota - self._used)
        reason = _describe_lack(quota, left)
        if share not in self._shares:
            refuse_announced(size, quota, reason)
        refuse(size, share.taken + left, quota, reason, is_full=lambda: is_most(size, quota))

    def end(self, share: Share, kept: int) -> None:
        """An object is not written any more; `kept` bytes of it stay."""
        if share in self._shares:
            self._shares.discard(share)
            self._used += kept - share.taken
            share.ended = True


class Share:
    """What one object that is written has of the space; it ends with the context, unless it is kept."""

    def __init__(self, space: Space) -> None:
        self._space = space
        #: Bytes that are counted, and those that have come.
        self.taken = self.size = 0
        self.ended = False
        self.is_growing = True
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._space.end(self, self.size if self._kept else 0)

    def keep(self) -> None:
        """The object is there to stay."""
        self._kept = True

    async def counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, as long as there is room. Raises as :meth:`Space.take`, and LargestObjectError."""
        async for chunk in chunks:
            self._count(len(chunk))
            yield chunk
        self._count(0)
        self.is_growing = False

    def _count(self, more: int) -> None:
        if self.ended:
            raise LargestObjectError("the quota is used up, and this was the largest object")
        if self.size + more > self.taken:
            self._space.take(self, self.size + more - self.taken)
        self.size += more


def _describe_lack(quota: int, left: int) -> str:
    return f"the quota of {quota} bytes leaves {max(0, left)}"
