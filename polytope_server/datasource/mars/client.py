"""The MARS client as a process: it is started, watched, and ended with all that it has started."""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.mars import guard
from polytope_server.datasource.mars.log import ClientLog

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_LOG_CHUNK = 1 << 16
#: Seconds for the guard to end the client, and itself.
_LAST_WORDS = 15.0
#: From here on an exit status of a shell means that its program was ended by a signal.
_SIGNALLED = 128


class Pipe:
    """A named pipe (FIFO) that the client writes the data to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        # Open for writing, too: the client may open and close it as it likes; its end is that of the data.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        with suppress(OSError, AttributeError):  # a larger pipe takes fewer turns, where there may be one
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _CHUNK)

    def read(self) -> bytes:
        """What is there now; nothing if nothing is."""
        try:
            return os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)


class Client:
    """A client that runs for the time of the block, below a guard (see `guard.py`)."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        held: Sequence[int],
        log: ClientLog,
        seconds: float | None,
    ) -> None:
        """`name` is that of the data source, for messages.

        It runs in `folder`, which is removed with it. The file descriptors `held` stay open until it has
        ended. It may take `seconds`.
        """
        self._name = name
        self._command = command
        self._environment = environment
        self._folder = folder
        self._held = held
        self._log = log
        self._seconds = seconds
        self._pid: int | None = None
        self._status: int | None = None
        self._received = b""

    def __enter__(self) -> Self:
        self._deadline = None if self._seconds is None else time.monotonic() + self._seconds
        self._connection, theirs = socket.socketpair()
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        program = [sys.executable, "-I", guard.__file__, str(theirs.fileno()), str(self._folder)]
        try:
            self._guard = subprocess.Popen(
                [*program, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self._environment),
                cwd=self._folder,
                pass_fds=[theirs.fileno(), *self._held],
                start_new_session=True,
            )
        except BaseException:
            self._connection.close()
            os.close(self._output)
            raise
        finally:
            theirs.close()
            os.close(output)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._output, selectors.EVENT_READ)
        return self

    def __exit__(self, *error: object) -> None:
        self._selector.close()
        self._connection.close()
        try:
            self._guard.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            logger.error("the guard of the MARS client does not end")
            self._guard.kill()
            self._guard.wait()
        if self._guard.returncode != 0:
            self._end_unguarded()
        os.close(self._output)

    def _end_unguarded(self) -> None:
        """End what the process group of the client still has: its guard was killed."""
        logger.error("the guard of the MARS client has ended with status %d", self._guard.returncode)
        if self._pid is not None:
            with suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether the client, or something that it has started, still runs."""
        return self._status is None

    def stream(self, pipe: Pipe) -> Iterator[bytes]:
        """What the client writes to the pipe, until its end. Raises TemporaryError."""
        self._selector.register(pipe.fd, selectors.EVENT_READ)
        while self.running:
            if pipe.fd in self._wait() and (chunk := pipe.read()):
                yield chunk
        while chunk := pipe.read():
            yield chunk

    def finish(self) -> None:
        """Wait for the end. Raises TemporaryError."""
        while self.running:
            self._wait()

    def check(self) -> None:
        """Raise DataSourceError or TemporaryError, with the error lines, unless the client has succeeded."""
        while data := self._read_output():
            self._log.feed(data)
        self._log.end(failed=bool(self._status))
        if not self._status:
            return
        what = f"MARS retrieval failed unexpectedly with error code {self._status}"
        text = "\n".join([what, *self._log.errors])
        logger.warning("data source %s: %s", self._name, text)
        raise (DataSourceError if 0 < self._status < _SIGNALLED else TemporaryError)(text)

    def _wait(self) -> set[int]:
        """Wait until something happens; returns the file descriptors that can be read."""
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TemporaryError(f"MARS did not finish within {self._seconds:g} seconds.")
        ready = {key.fd for key, _ in self._selector.select(left)}
        if self._output in ready:
            self._log.feed(self._read_output())
        if self._connection.fileno() in ready:
            self._read_report()
        return ready

    def _read_output(self) -> bytes:
        try:
            return os.read(self._output, _LOG_CHUNK)
        except BlockingIOError:
            return b""

    def _read_report(self) -> None:
        data = self._connection.recv(256)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            event, _, number = line.decode().partition(" ")
            if event == "started":
                self._pid = int(number)
            elif event == "ended":
                self._status = int(number)
            else:
                self._raise_unusable(os.strerror(int(number)))
        if not data and self.running:
            self._raise_unusable("its guard has ended")

    def _raise_unusable(self, reason: str) -> None:
        logger.error("data source %s: %s: %s", self._name, self._command[0], reason)
        raise TemporaryError(f"{self._name} cannot be used at the moment.")
