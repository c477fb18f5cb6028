"""Sees to it that no request is left at another service: a process that outlives the one with the job.

A revocation kills the child of the worker at once, and so may anything else. The process that is forked here
holds the other end of a pipe. When that closes, for whatever reason, it removes the request at the service,
and ends. Its life is bounded.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

from setproctitle import setproctitle

logger = logging.getLogger(__name__)

_TITLE = "polytope-server upstream guard"
#: Seconds in which the request must have been removed.
_LIMIT = 120
#: Seconds for which the process with the job waits for that.
_LAST_WORDS = 5.0
#: What is written in place of an id when nothing is to be removed.
_NOTHING = "-"
_STDERR = 2
#: The processes that were forked, and may have ended.
_forked: set[int] = set()


class Guard:
    """A process that calls `remove` with the id that was named last, when this one has ended or closed it."""

    def __init__(self, remove: Callable[[str], None]) -> None:
        """`remove` gets an empty id if none was named: the request may be there all the same."""
        _reap()
        read, self._pipe = os.pipe()
        with warnings.catch_warnings():
            # Threads of libraries do not run in the fork, and it calls nothing of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _watch(read, remove)
        os.close(read)
        self._pid = pid
        _forked.add(pid)

    def name(self, request_id: str) -> None:
        """Say which request is to be removed."""
        self._write(request_id)

    def dismiss(self) -> None:
        """Nothing is to be removed."""
        self._write(_NOTHING)
        self.close()

    def close(self) -> None:
        """Have the request removed, and wait a little for that; no effect on one that is closed.

        The next attempt at the same job, which may be soon, would otherwise find what is about to go.
        """
        pipe, self._pipe = self._pipe, -1
        if pipe < 0:
            return
        os.close(pipe)
        end, pause = time.monotonic() + _LAST_WORDS, 0.002
        while not _has_ended(self._pid) and time.monotonic() < end:
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def __del__(self) -> None:
        # A result that is given up before its first chunk was asked for.
        if self._pipe >= 0:
            os.close(self._pipe)

    def _write(self, word: str) -> None:
        if self._pipe >= 0:
            # Should the process have been killed, the request stays where it is.
            with suppress(BrokenPipeError):
                os.write(self._pipe, f"{word}\n".encode())


def _reap() -> None:
    for pid in list(_forked):
        _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether the process has ended; then the system forgets it."""
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            return False
    _forked.discard(pid)
    return True


def _watch(read: int, remove: Callable[[str], None]) -> None:
    """The life of the process."""
    try:
        # Of its own session, lest it be killed with the group of the child; and without the child's sockets,
        # which the worker would not find closed.
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _let_go_of_files(read)
        setproctitle(_TITLE)
        word = _read_last_word(read)
        signal.alarm(_LIMIT)
        if word != _NOTHING:
            remove(word)
    except Exception:
        logger.warning("the request may still be at the other service", exc_info=True)
    finally:
        os._exit(0)


def _let_go_of_files(pipe: int) -> None:
    """Put an empty file in the place of every other one that is open.

    Closed, its number could be that of a new socket, which an object from before the fork would close.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/dev/fd")):
        if number not in (pipe, nothing) and number > _STDERR:
            os.dup2(nothing, number)


def _read_last_word(pipe: int) -> str:
    words = b""
    while data := os.read(pipe, 4096):
        words += data
    return words.split()[-1].decode() if words else ""
