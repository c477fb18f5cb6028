"""Temporary folders of data sources. Those of killed processes are known by their lock, and removed later."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)

#: How often a new folder may be taken for one that was left behind before it is locked.
_TRIES = 100


class WorkingFolder:
    """A new folder for the time of the block, which only this user may enter."""

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        """Its name begins with `prefix`; `parent` is by default the folder for temporary files."""
        self._prefix = prefix
        self._parent = parent
        self.path = Path()
        #: As long as this file descriptor is open, in any process, the folder is not taken for left behind.
        self.lock = -1

    def __enter__(self) -> Self:
        """Make it. Raises OSError."""
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
            if self._lock():
                return self
        raise FileExistsError(f"{self.path.parent}: every new folder is removed by another process")

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)

    def _lock(self) -> bool:
        """Lock the folder; False if another process took it for one that was left behind."""
        try:
            self.lock = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        with suppress(OSError):
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self.lock), self.path.stat()):
                return True
        os.close(self.lock)
        return False


def remove_left_behind(prefix: str, parent: Path | None = None) -> None:
    """Remove the folders whose processes were killed."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{prefix}*"):
        with suppress(OSError):
            _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    """Remove a folder that no process has locked. BlockingIOError if one has."""
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        logger.info("removing %s, which an ended process left behind", folder)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
