"""The room on the disk of a local staging, and which object has to give way when it ends.

A reserve stays free for everybody else on the disk, such as a database. All processes that write to the
folder see the same: what is free, and the unfinished objects of each other.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
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
    """5 % of a disk, or quota, of that size in bytes, 10 GiB at most."""
    return min(total // 20, _LARGEST_RESERVE)


def refuse(size: int, fits: int, total: int, reason: str, *, is_full: Callable[[], bool]) -> NoReturn:
    """Refuse an object that grows to `size` bytes, of which `fits` fit now, and of which none is larger.

    `total` is the disk or quota; `is_full` says whether the object filled it as good as alone. Raises
    ObjectTooLargeError if so; LargestObjectError for one that takes a notable share; and StagingFullError
    for one that is not to blame.
    """
    if size < max(usual_reserve(total), _SMALL):
        raise StagingFullError(reason)
    if is_full():
        raise ObjectTooLargeError(size, fits)
    raise LargestObjectError(reason)


def refuse_announced(size: int, capacity: int, reason: str) -> NoReturn:
    """Refuse an object of `size` bytes, of which nothing was written.

    Raises ObjectTooLargeError if they are more than `capacity`, what an empty staging can hold; else
    StagingFullError, whatever fills it now: the object may come again.
    """
    if size > capacity:
        raise ObjectTooLargeError(size, capacity)
    raise StagingFullError(reason)


def is_most(size: int, of: int) -> bool:
    """Whether that many bytes are as good as all: small objects of others come in beside the largest one."""
    return size > of - of // 10


class Disk:
    """The disk that the folder `unfinished` is on, and `objects`, which has a folder for each request."""

    def __init__(self, unfinished: Path, objects: Path, reserve: int | None) -> None:
        """`reserve` is the number of bytes that stay free; None for the usual one."""
        self._unfinished, self._objects = unfinished, objects
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
            refuse_announced(size, self.capacity(total), _describe_lack(size, room))

    def capacity(self, total: int) -> int:
        """Bytes that the staging could hold if nothing else were on a disk of that size."""
        return max(0, total - self.reserve(total))

    def reserve(self, total: int) -> int:
        """Bytes that stay free of a disk of that size."""
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

    def finished(self) -> Iterator[int]:
        """The sizes of the objects that are complete, by and by: there may be very many. Raises OSError."""
        with os.scandir(self._objects) as folders:
            for folder in folders:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder.path) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):  # it was removed meanwhile
                            yield entry.stat().st_size


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
            raise StagingFullError(_describe_lack(more, room))
        self.refuse(size, more)

    def refuse(self, size: int, more: int) -> NoReturn:
        """The disk does not take what :meth:`check` was asked for. Raises as :func:`refuse`."""
        left, total = self._disk.measure()

        def is_full() -> bool:
            # Results of others may have gone since it began, and may be gone the next time.
            room = max(self._room or 0, left + sum(self._disk.unfinished().values()))
            rooms = accumulate(self._disk.finished(), initial=room)
            return all(is_most(size, each) for each in rooms)

        refuse(size, size - more + max(0, left), total, _describe_lack(more, left), is_full=is_full)


def lock(file: int) -> None:
    """Show, with the file descriptor of an unfinished object, that its writer lives."""
    with suppress(OSError):  # a file system without locks: then no process can get one
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


def _describe_lack(more: int, left: int) -> str:
    return f"the staging folder has no room for {more} bytes more: {max(0, left)} are free beside the reserve"
