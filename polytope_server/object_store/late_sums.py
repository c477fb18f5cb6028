"""MD5 sums of large objects, computed when the objects are there already."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from polytope_server.staging import StagedObject
from polytope_server.staging.local import LocalStaging

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
#: Of more objects that wait, further ones get their sum when they are asked for again.
_LIMIT = 10_000
_LOWEST = 19


class LateSums:
    """One thread, of lowest priority, that reads one object after the other."""

    def __init__(self, staging: LocalStaging) -> None:
        self._staging = staging
        self._wanted: set[str] = set()
        self._ends = threading.Event()
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Start the thread."""
        self._thread = ThreadPoolExecutor(1, "md5", _let_others_first)

    def close(self) -> None:
        """End it; what has no sum yet gets it when it is asked for again."""
        self._ends.set()
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def want(self, found: StagedObject) -> None:
        """Have the sum computed, unless it is known."""
        if found.md5 or found.name in self._wanted or len(self._wanted) >= _LIMIT or self._thread is None:
            return
        self._wanted.add(found.name)
        self._thread.submit(self._add, found.name)

    def _add(self, name: str) -> None:
        try:
            path = self._staging.path_of(name)
            if md5 := self._sum(path):
                self._staging.set_md5(name, md5)
        except FileNotFoundError:  # it was removed meanwhile
            pass
        except OSError as error:
            logger.warning("the MD5 sum of an object cannot be computed: %s", error.strerror)
        finally:
            self._wanted.discard(name)

    def _sum(self, path: Path) -> str | None:
        """In hex; None if the process ends, or the object is removed, before it is known."""
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                if self._ends.is_set() or not path.exists():
                    return None
                digest.update(block)
        return digest.hexdigest()


def _let_others_first() -> None:
    # Only Linux knows a priority for each thread.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
