"""Starts processes of the server: by its command, or for tests as forks of a process that has imported it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

from argon2 import PasswordHasher
from coverage import Coverage

from polytope_server.accounts import passwords
from polytope_server.commands.main import main

#: Imported once, by the process that is forked.
_IMPORTED = [
    "polytope_server.broker.composition",
    "polytope_server.commands.main",
    "polytope_server.commands.standalone",
    "polytope_server.frontend.server",
    "polytope_server.garbage_collector.composition",
    "polytope_server.object_store.server",
    "polytope_server.worker.composition",
    # The back-ends of several machines, with their drivers.
    "polytope_server.caching.memcached",
    "polytope_server.caching.redis",
    "polytope_server.drivers.sql.postgresql",
    "polytope_server.notices.mongodb",
    "polytope_server.queue.rabbitmq",
    "polytope_server.request_store.mongodb",
    "polytope_server.staging.polytope",
    "polytope_server.staging.s3",
]
#: Variables that the interpreter and the system's loader read when a program starts begin so.
_READ_AT_START = ("PYTHON", "LD_")


class Process(Protocol):
    """A process that was started here: what is used of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit status. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Launch(Protocol):
    """A way to start `polytope-server ARGUMENTS`."""

    def __call__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start it in a session of its own, with that environment; its output is appended to the file.

        It runs in the folder of that file, so that no code there is found by being in the current folder.
        """


def run_command(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
    """Run the command, as users do."""
    command = [sys.executable, "-m", "polytope_server", *arguments]
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=file, start_new_session=True, env=environment, cwd=log.parent
        )


def fork(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
    """Fork a process that has imported the server already, which saves most of the time of a start.

    With an environment that changes how programs start, the command is run.
    """
    if _read_at_start(environment) != _read_at_start(os.environ):
        return run_command(arguments, log, environment)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    # As a daemon it does not outlive these tests.
    made = context.Process(target=_become, args=(list(arguments), log, dict(environment)), daemon=True)
    made.start()
    return _Forked(made)


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _become(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    """In the new process: be the command, with password hashes that cost next to nothing.

    It is measured, if its environment says so, but not the programs that it runs: tests of the children of
    workers start these themselves.
    """
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    os.setsid()
    os.chdir(log.parent)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if (measuring := Coverage.current()) and os.environ.pop("COVERAGE_PROCESS_CONFIG", None) is None:
        measuring.stop()
    sys.exit(main(arguments))


class _Forked:
    """A forked process, used like one of `subprocess`."""

    def __init__(self, made: ForkServerProcess) -> None:
        assert made.pid is not None
        self.pid = made.pid
        self._made = made

    def poll(self) -> int | None:
        return self._made.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._made.join(timeout)
        if self._made.exitcode is None:
            raise subprocess.TimeoutExpired("polytope-server", timeout or 0)
        return self._made.exitcode

    def send_signal(self, sig: int) -> None:
        if self._made.is_alive():
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
