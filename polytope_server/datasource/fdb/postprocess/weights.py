"""The folder in which MIR keeps what it has computed, such as weights of interpolations, and its bound.

All children of a worker share it. MIR locks what it writes, and moves it into place when it is complete. It
has a bound of its own for some of these files; this one is for all.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_VARIABLE = "MIR_CACHE_PATH"
#: What MIR keeps in memory, in bytes: more would make the process grow with each grid that is asked for. One
#: of each kind is kept, whatever its size. (Suffixes of sizes have no effect here.)
_IN_MEMORY = {
    "MIR_MATRIX_CACHE_MEMORY_FOOTPRINT": 64 << 20,
    "MIR_MESH_CACHE_MEMORY_FOOTPRINT": 1,
    "MIR_AREA_CACHE_MEMORY_FOOTPRINT": 16 << 20,
}
_LOCK = "polytope.lock"
#: Seconds after which an unfinished file is one of a process that has ended: no grid takes as long.
_UNFINISHED_FOR = 3600.0
#: The folder of this process: MIR reads once which it is.
_chosen: Path | None = None


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    used: float


class Weights:
    """One folder, of at most `bound` bytes between two calls of MIR."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder
        self._bound = bound

    def prepare(self) -> None:
        """Make the folder, and have MIR use it; to be called before MIR is imported.

        A process has one such folder: that of the first data source that is prepared. Raises OSError, and
        ValueError for a name that would be several folders.
        """
        global _chosen
        if ":" in str(self.folder):
            raise ValueError(f"{self.folder}: the name of the folder for weights must not have a colon")
        if _chosen is not None and _chosen != self.folder:
            logger.warning(
                "weights are kept in %s, and not in %s: a worker has one folder", _chosen, self.folder
            )
            self.folder = _chosen
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ[_VARIABLE] = str(self.folder)
        for name, size in _IN_MEMORY.items():
            os.environ.setdefault(name, str(size))
        _chosen = self.folder

    def trim(self) -> None:
        """Remove the files that were not used for longest, until the others are within the bound.

        Another process can go on reading what it has opened. While one does the same, nothing is done.
        """
        self._remove(self._bound)

    def clear(self) -> None:
        """Remove all files but unfinished ones: one of them may be damaged, or there is no room."""
        self._remove(0)

    def _remove(self, bound: int) -> None:
        """Remove files until the others have `bound` bytes."""
        with self._locked() as alone:
            if not alone:
                return
            files = sorted(self._finished(), key=lambda file: file.used)
            size = sum(file.size for file in files)
            for file in files:
                if size <= bound:
                    break
                with suppress(FileNotFoundError):
                    os.unlink(file.path)
                size -= file.size

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        with (self.folder / _LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _finished(self) -> Iterator[_File]:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(FileNotFoundError):
                    found = os.stat(path)
                    used = max(found.st_atime, found.st_mtime)
                    # MIR numbers what is not finished yet.
                    if name.rpartition(".")[2].isdigit() and time.time() - used < _UNFINISHED_FOR:
                        continue
                    if name != _LOCK:
                        yield _File(path, found.st_size, used)
