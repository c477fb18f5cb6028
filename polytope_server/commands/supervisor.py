"""Keeps the processes of one machine running: forks of this one, which has imported all that they need."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NoReturn, Self

from setproctitle import setproctitle

from polytope_server.back_off import BackOff
from polytope_server.runtime import process

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
#: After this many seconds a process counts as well started, and the back-off begins again.
_RUNS_WELL = 30.0


class Supervisor:
    """Forks the processes, restarts each that exits, and stops all of them at the end."""

    def __init__(
        self, names: Collection[str], last: Collection[str], run: Callable[[str], int], grace: float
    ) -> None:
        """`run` is what a process of that name does; it returns the exit status.

        Those of `last` are stopped after all others. One that has not ended `grace` seconds after SIGTERM is
        killed.
        """
        self._services = [_Service(name) for name in names]
        self._last = frozenset(last)
        self._run = run
        self._grace = grace

    def serve(self) -> bool:
        """Keep all processes running until SIGTERM or SIGINT arrives; returns True then.

        Returns False when a process says that it must not work on a store: restarting it is of no use.
        """
        # What is there now stays for good: no garbage collection writes to pages that the processes share.
        gc.collect()
        gc.freeze()
        with _Signals() as signals:
            allowed = True
            while allowed and not signals.stop:
                now = time.monotonic()
                for service in self._services:
                    if service.pid is None and service.due <= now:
                        self._start(service, signals)
                waiting = [service.due for service in self._services if service.pid is None]
                signals.wait(min(waiting) - time.monotonic() if waiting else None)
                allowed = self._restart_ended()
            logger.info("stopping")
            self._stop(signals, [service for service in self._services if service.name not in self._last])
            self._stop(signals, self._services)
        return allowed

    def _start(self, service: _Service, signals: _Signals) -> None:
        service.started = time.monotonic()
        supervisor = os.getpid()
        # A signal to the new process must wait until it has handlers of its own.
        with signals.held():
            try:
                pid = os.fork()
            except OSError as error:  # out of memory or of processes, for now
                logger.error("the %s cannot be started: %s", service.name, error.strerror)
                service.fail()
                return
            if pid == 0:
                signals.forget()
                _become(service.name, supervisor, self._run)
        service.pid = pid

    def _restart_ended(self) -> bool:
        """Have each process that ended start again after a pause; returns whether they may."""
        allowed = True
        for service, status in self._reap():
            if status == process.INCOMPATIBLE:
                allowed = False
                continue
            logger.error("the %s ended with status %d; restarting it", service.name, status)
            service.fail()
        return allowed

    def _reap(self) -> list[tuple[_Service, int]]:
        """Those that have ended, with their exit status: negative for the signal that killed one."""
        ended = []
        for service in self._services:
            if service.pid is None:
                continue
            pid, status = os.waitpid(service.pid, os.WNOHANG)
            if pid:
                service.pid = None
                ended.append((service, os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self, signals: _Signals, services: Iterable[_Service]) -> None:
        _send(signal.SIGTERM, services)
        deadline = time.monotonic() + self._grace
        while any(service.pid for service in services) and time.monotonic() < deadline:
            signals.wait(deadline - time.monotonic())
            self._reap()
        late = [service for service in services if service.pid]
        if late:
            logger.warning("%d processes did not end in time and are killed", len(late))
            _send(signal.SIGKILL, late)
            while any(service.pid for service in late):
                signals.wait(None)
                self._reap()


class _Service:
    """One of the processes: at first it is to start at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: Its process id while it runs.
        self.pid: int | None = None
        self.started = 0.0
        #: When it is to start, by the monotonic clock.
        self.due = 0.0
        self._back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)

    def fail(self) -> None:
        """Have it start again after a pause."""
        now = time.monotonic()
        if now - self.started > _RUNS_WELL:
            self._back_off.succeeded()
        self.due = now + self._back_off.failed()


def _send(number: signal.Signals, services: Iterable[_Service]) -> None:
    for service in services:
        if service.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(service.pid, number)


class _Signals:
    """What this process learns by signals while the context is open: to stop, or that a process ended."""

    _HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

    def __enter__(self) -> Self:
        #: Whether it is to stop.
        self.stop = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._previous = {number: signal.signal(number, self._handle) for number in self._HANDLED}
        # A signal that arrives before select() is called still ends it.
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

    def wait(self, seconds: float | None) -> None:
        """Return when a signal has arrived, or after that time."""
        if select.select([self._ours], [], [], None if seconds is None else max(0.0, seconds))[0]:
            with suppress(BlockingIOError):
                while self._ours.recv(4096):
                    pass


def _become(name: str, supervisor: int, run: Callable[[str], int]) -> NoReturn:
    """Be that process, and end as a process ends, without what the supervisor has to do at its own end."""
    status = os.EX_SOFTWARE
    try:
        process.die_with_parent(supervisor)
        # Ctrl-C at a terminal reaches the supervisor alone, which stops the others in good order.
        os.setsid()
        if sys.stdin is not None:  # else it was closed before this program started
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), sys.stdin.fileno())
        setproctitle(f"polytope-server {name}")
        status = run(name)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        logger.critical("unhandled exception, exiting", exc_info=True)
    finally:
        for stream in (sys.stdout, sys.stderr):
            # One that is closed or full must not send this process back to what its supervisor does.
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status)
