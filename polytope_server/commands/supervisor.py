"""Keeps the processes of one machine running: forks of this one, which has imported all that they need."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

from polytope_server.back_off import BackOff
from polytope_server.runtime import process
from polytope_server.runtime.forking import Signals, become

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
        with Signals() as signals:
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

    def _start(self, service: _Service, signals: Signals) -> None:
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
                become(f"polytope-server {service.name}", supervisor, partial(self._run, service.name))
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

    def _stop(self, signals: Signals, services: Iterable[_Service]) -> None:
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
