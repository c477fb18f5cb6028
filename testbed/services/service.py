"""What all servers have in common: a process with a port, a folder and a log."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_HOST = "127.0.0.1"
#: Seconds.
_START_TIME, _END_TIME = 60.0, 20.0
_PAUSE = 0.02


def free_port(*offsets: int) -> int:
    """A port that nobody listens on, nor on the ports that lie so far above it.

    Taken from below the range from which the system gives ports to outgoing connections, so that none of
    those takes it while the server restarts.
    """
    while True:
        port = random.randrange(12_000, 22_000)
        if all(_free(port + offset) for offset in (0, *offsets)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


class Service(ABC):
    """A server of this machine, with all its files below `folder`."""

    #: As :mod:`testbed.services.programs` names it.
    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.host = _HOST
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server does its work; an OSError stands for no."""

    @property
    @abstractmethod
    def variables(self) -> dict[str, str]:
        """What the configurations in `polytope-deployment/config/` call its address and its secrets."""

    def environment(self) -> Mapping[str, str]:
        """The environment of the server."""
        return os.environ

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.folder / "log"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The first process of the server. Raises RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def start(self) -> None:
        """Start the server; returns when it is ready. Raises RuntimeError if it does not become that."""
        self._process = self.launch(self.command())
        deadline = time.monotonic() + _START_TIME
        while not self._ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(
                    f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}"
                )
            time.sleep(_PAUSE)

    def launch(self, command: Sequence[str], user: str | None = None) -> subprocess.Popen[bytes]:
        """Start a process of this server in a session of its own."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self.folder, env={**self.environment()}, user=user,
            )  # fmt: skip

    def _ready(self) -> bool:
        try:
            return self.ready()
        except OSError:
            return False

    def kill(self) -> None:
        """End the server and all its processes by SIGKILL."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the server and all its processes."""
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """End the server for good. Nothing that it keeps is needed any more, so that is no good order."""
        self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started by SIGKILL; returns when the last of them has gone.

    Until then they hold their port, and take connections. Some lead a session of their own.
    """
    started: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for other in started:
        with suppress(psutil.NoSuchProcess):
            other.kill()
    process.wait()
    deadline = time.monotonic() + _END_TIME
    while any(map(_lives, started)) and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def _lives(process: psutil.Process) -> bool:
    """Whether a process still holds anything. One that waits to be reaped does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def answers(host: str, port: int, question: bytes, answer: bytes) -> bool:
    """Whether a server answers a question of its protocol as expected. Raises OSError."""
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(question)
        return connection.recv(1024).startswith(answer)
