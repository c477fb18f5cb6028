"""Processes that are forked of one that has imported what they need."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NoReturn, Self

from setproctitle import setproctitle

from polytope_server.runtime.process import die_with_parent

logger = logging.getLogger(__name__)


class Signals:
    """What this process learns by signals while the context is open: to stop, or that a process ended."""

    _HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

    def __enter__(self) -> Self:
        #: Whether it is to stop.
        self.stop = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._previous = {number: signal.signal(number, self._handle) for number in self._HANDLED}
        # A signal that arrives before poll() is called still ends it.
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._ours.close()
        self._theirs.close()

    def forget(self) -> None:
        """In a process that was just forked: back to what a process that starts has."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._HANDLED)
        self._ours.close()
        self._theirs.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals are delivered at the end of this context, and not before."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._HANDLED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._HANDLED)

    def _handle(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stop = True

    def wait(self, seconds: float | None, *connections: socket.socket) -> list[socket.socket]:
        """Return when a signal has arrived, or after that time, or with the connections that can be read."""
        timeout = None if seconds is None else math.ceil(max(0.0, seconds) * 1000)
        by_number = {one.fileno(): one for one in (self._ours, *connections)}
        poll = select.poll()  # not select(), which knows the first 1024 files of a process only
        for number in by_number:
            poll.register(number, select.POLLIN)
        ready = [by_number[number] for number, _ in poll.poll(timeout)]
        if self._ours in ready:
            ready.remove(self._ours)
            with suppress(BlockingIOError):
                while self._ours.recv(4096):
                    pass
        return ready


def become(title: str, parent: int, run: Callable[[], int]) -> NoReturn:
    """In a process that was just forked by `parent`: run that, and end with the exit status that it returns.

    It ends without what its parent has to do at its own end, and no later than its parent. `title` is what
    lists of processes show.
    """
    status = os.EX_SOFTWARE
    try:
        die_with_parent(parent)
        # Ctrl-C at a terminal reaches the first process alone, which stops the others in good order.
        os.setsid()
        if sys.stdin is not None:  # else it was closed before this program started
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), sys.stdin.fileno())
        setproctitle(title)
        status = run()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        logger.critical("unhandled exception, exiting", exc_info=True)
    finally:
        for stream in (sys.stdout, sys.stderr):
            # One that is closed or full must not send this process back to what its parent does.
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status)
