"""The memory of a child process: a limit for each job, and the place in the kernel's list of victims.

A data source that wants more than there is must end its own process, and neither the worker, whose other
requests would end with it, nor a neighbour on the machine.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

DEFAULT = 2 << 30
"""Bytes that a job may use unless its data source says otherwise."""
#: Added to what the process has of the kernel: as if it used half of all the memory more than it does.
_SCORE = 500
_LARGEST_SCORE = 1000
_SCORE_FILE = Path("/proc/self/oom_score_adj")


def be_first_to_go() -> None:
    """Have the kernel end this process before its worker when memory runs out. Linux only."""
    with suppress(OSError, ValueError):
        score = int(_SCORE_FILE.read_text()) + _SCORE
        _SCORE_FILE.write_text(str(min(score, _LARGEST_SCORE)))


def allowed(size: int | Literal["unlimited"]) -> int | None:
    """The key `max_memory` as :func:`limit` takes it."""
    return None if size == "unlimited" else size


def limit(size: int | None) -> None:
    """Let this process have `size` bytes of private memory from now on; None: as much as the system lets it.

    Beyond them an allocation fails: MemoryError, `std::bad_alloc`. Files that libraries map do not count.
    Linux only: elsewhere the limit is for something else.
    """
    if sys.platform != "linux":
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = hard if size is None else size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def used() -> int:
    """Bytes of private memory that this process has now, as :func:`limit` counts them; 0 where not known."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) << 10
    return 0
