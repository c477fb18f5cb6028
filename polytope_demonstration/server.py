"""Starts the server of the demonstration as a process of its own, and ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from polytope_demonstration.setup import HOST, Setup

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 60.0
_PAUSE = 0.05


class DemonstrationError(RuntimeError):
    """The demonstration cannot go on; the message says why."""


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens on it, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
            except OSError:
                continue
            return int(trial.getsockname()[1])
    raise DemonstrationError(f"no port of {HOST} is free")


@contextmanager
def running(setup: Setup, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The server, ready; it is gone afterwards, whatever happens. Its log goes to a file, or to stderr.

    Raises DemonstrationError when it does not start.
    """
    command = [sys.executable, "-m", "polytope_server", "standalone"]
    command += ["-f", str(setup.config), "--data", str(setup.data)]
    output = log.open("wb") if log else None
    try:
        # In a session of its own, so that Ctrl-C reaches it through stop() only, once and in order.
        server = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            _wait_until_ready(server, setup, log)
            yield server
        finally:
            stop(server)
    finally:
        if output:
            output.close()


def _wait_until_ready(server: subprocess.Popen[bytes], setup: Setup, log: Path | None) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        # First whether it lives: another server may answer in its place.
        if (status := server.poll()) is not None:
            raise DemonstrationError(f"the server ended with status {status}{_tail(log)}")
        if _answers(f"{setup.url}/api/v1/test"):
            return
        if time.monotonic() > deadline:
            raise DemonstrationError(f"the server was not ready in {_START_TIMEOUT:.0f} s{_tail(log)}")
        time.sleep(_PAUSE)


def _answers(url: str) -> bool:
    # Without proxies, which could not reach this machine's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _tail(log: Path | None) -> str:
    return f"; the end of its log:\n{log.read_text(errors='replace')[-2000:]}" if log else ""


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, and make it end where it does not."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_TIMEOUT)
        except BaseException as error:  # a second Ctrl-C, too
            server.kill()
            server.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this process the way Ctrl-C does, so that the server is stopped."""

    def end(number: int, _: object) -> NoReturn:
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def without_proxy_for_this_machine() -> None:
    """Keep the client, which obeys the environment's proxies, from asking one for 127.0.0.1."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
