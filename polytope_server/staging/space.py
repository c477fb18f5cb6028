"""The room on the disk of a local staging, and which object has to give way when it ends.

A reserve stays free for everybody else on the disk, such as a database. All processes that write to the
folder see the same: what is free, and the unfinished objects of each other.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from polytope_server.staging import LargestObjectError, ObjectTooLargeError, StagingFullError

#: The name of an unfinished object ends so: its writer, for as long as it lives, has a lock on it.
LOCKED = ".part"
_LARGEST_RESERVE = 10 << 30
#: Smaller objects are never at fault.
_SMALL = 1 << 20
#: Where the system does not say how large a disk is, as of some network file systems.
_UNKNOWN = 1 << 62


def usual_reserve(total: int) -> int:
    """5 % of a disk, or quota, of so many bytes, 10 GiB at most."""
    return min(total // 20, _LARGEST_RESERVE)


def refuse(size: int, fits: int, room: int, total: int, reason: str) -> NoReturn:
    """Refuse an object that is to have `size` bytes, of which `fits` fit now, and of which none is larger.

    `room` is what was free when its writing began, as if no other were written; `total` the disk or quota.
    Raises ObjectTooLargeError for one that has filled the room by itself, as good as; LargestObjectError for
    one that takes a notable share; and StagingFullError for one that is not to blame.
    """
    if size < max(usual_reserve(total), _SMALL):
        raise StagingFullError(reason)
    # Small objects of others come in beside the largest one, too.
    if size > room - room // 10:
        raise ObjectTooLargeError(size, fits)
    raise LargestObjectError(reason)


def refuse_announced(size: int, fits: int, room: int, total: int, reason: str) -> NoReturn:
    """The same for an object of which nothing was written: unless it is too large, it may come again."""
    try:
        refuse(size, fits, room, total, reason)
    except LargestObjectError:
        raise StagingFullError(reason) from None


class Disk:
    """The disk that the folder `unfinished` is on."""

    def __init__(self, unfinished: Path, reserve: int | None) -> None:
        """`reserve` is the number of bytes that stay free; None for the usual one."""
        self._unfinished = unfinished
        self._reserve = reserve

    def measure(self) -> tuple[int, int]:
        """Bytes that may be written, less than 0 if the reserve is touched; and those of the whole disk.

        Raises OSError.
        """
        status = os.statvfs(self._unfinished)
        total = status.f_blocks * status.f_frsize
        if not total:
            return _UNKNOWN, _UNKNOWN
        return status.f_bavail * status.f_frsize - self.reserve(total), total

    def admit(self, size: int) -> None:
        """Return if there is room for an object of `size` bytes. Raises as :func:`refuse_announced`."""
        room, total = self.measure()
        if size > room:
            alone = room + sum(self.unfinished().values())
            refuse_announced(size, max(0, room), alone, total, _why(size, room))

    def reserve(self, total: int) -> int:
        """Bytes that stay free of a disk of so many."""
        return usual_reserve(total) if self._reserve is None else self._reserve

    def unfinished(self) -> dict[str, int]:
        """The sizes of the objects that are being written, by name. What dead writers left is removed."""
        found = {}
        with os.scandir(self._unfinished) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # it was finished meanwhile
                    size = entry.stat().st_size
                    if size and entry.name.endswith(LOCKED) and _is_left(entry.path):
                        os.unlink(entry.path)
                    else:
                        found[entry.name] = size
        return found


class Claim:
    """One object that is being written, in the file `path`: whether it may grow."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._name = disk, path.name
        self._room: int | None = None

    def check(self, size: int, more: int) -> None:
        """Return if `more` bytes may follow, with which the object has `size`. Raises as :func:`refuse`.

        The largest object gives way first: others may go on into half of the reserve, which is free again
        as soon as the largest one tries to grow.
        """
        room, total = self._disk.measure()
        if self._room is None and size >= _SMALL:
            self._room = room + sum(self._disk.unfinished().values())
        if more <= room:
            return
        unfinished = self._disk.unfinished()
        room, total = self._disk.measure()
        if more <= room:
            return
        own = size - more, self._name
        if any((its, name) > own for name, its in unfinished.items()):
            if more <= room + self._disk.reserve(total) // 2:
                return
            raise StagingFullError(_why(more, room))
        self.refuse(size, more)

    def refuse(self, size: int, more: int) -> NoReturn:
        """The disk does not take what :meth:`check` was asked for. Raises as :func:`refuse`."""
        left, total = self._disk.measure()
        room = left if self._room is None else self._room
        refuse(size, size - more + max(0, left), room, total, _why(more, left))


def lock(file: int) -> None:
    """Show, with the file descriptor of an unfinished object, that its writer lives."""
    with suppress(OSError):  # a file system without locks: then nobody can get one
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_left(path: str) -> bool:
    """Whether the writer of an unfinished object has ended without finishing it."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _why(more: int, left: int) -> str:
    return f"the staging folder has no room for {more} bytes more: {max(0, left)} are free beside the reserve"
