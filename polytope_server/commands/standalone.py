"""All processes on one machine, from one configuration."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from polytope_server import __version__
from polytope_server.commands.supervisor import Supervisor
from polytope_server.config import Configuration
from polytope_server.runtime import log
from polytope_server.runtime.data_folder import FolderInUseError, locked
from polytope_server.runtime.management import VARIABLE
from polytope_server.settings import Settings

logger = logging.getLogger(__name__)

#: In the order of their start, which does not matter: each waits for what it needs.
PROCESSES = ("frontend", "broker", "worker", "garbage-collector")
#: Stopped after the others: they need it to finish their work.
OBJECT_STORE = "object-store"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 -- compared only
#: Seconds beyond the time that the processes themselves may take to stop.
_STOP_MARGIN = 15.0


def run(configuration: Configuration, data: Path, start: Callable[[str], int]) -> int:
    """Run all processes until SIGTERM or SIGINT arrives; returns the exit status.

    `start` is what a process of that name does, and returns its exit status.
    """
    settings = configuration.settings
    for warning in configuration.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"polytope-server {__version__}: http://{settings.frontend.bind_to}:{settings.frontend.port}")
    print(f"data folder: {data}", flush=True)
    try:
        _check_free(settings.frontend.bind_to, settings.frontend.port)
        return _supervise(settings, data, start)
    except (FolderInUseError, _PortInUseError) as error:
        print(error, file=sys.stderr)
        return 1


def _supervise(settings: Settings, data: Path, start: Callable[[str], int]) -> int:
    with locked(data) as lock:

        def start_process(name: str) -> int:
            # The lock is the supervisor's: it must end with it, not with the last process that it has forked.
            lock.close()
            # The management port in the environment is for one process; others have theirs configured.
            if name != "frontend":
                os.environ.pop(VARIABLE, None)
            log.configure(settings.logging, name)
            return start(name)

        _import_processes()
        names = (OBJECT_STORE, *PROCESSES) if _has_object_store(settings) else PROCESSES
        supervisor = Supervisor(names, {OBJECT_STORE}, start_process, settings.worker.grace + _STOP_MARGIN)
        return 0 if supervisor.serve() else 1


def _import_processes() -> None:
    """Import what the processes need, so that each is there at once when it is forked."""
    import polytope_server.broker.composition
    import polytope_server.frontend.server
    import polytope_server.garbage_collector.composition
    import polytope_server.worker.composition  # noqa: F401


def _has_object_store(settings: Settings) -> bool:
    """Whether results go to the basic object store, and that is to run on this machine."""
    if "polytope" not in settings.staging:
        return False
    return (settings.staging["polytope"] or {}).get("host", "localhost") in _THIS_MACHINE


class _PortInUseError(RuntimeError):
    """The port is in use, or this user may not listen on it."""


def _check_free(host: str, port: int) -> None:
    """Fail at once, instead of having the frontend fail at each start."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = f"cannot listen on {host}, port {port} (frontend.bind_to, frontend.port): {error.strerror}"
        raise _PortInUseError(reason) from error
