"""All processes on one machine, started and supervised from one configuration."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from polytope_server.back_off import BackOff
from polytope_server.runtime import process
from polytope_server.runtime.management import VARIABLE
from polytope_server.runtime.waiting import wait_at_most
from polytope_server.settings import Settings

logger = logging.getLogger(__name__)

#: In the order of their start, which does not matter: each waits for what it needs.
PROCESSES = ("broker", "worker", "garbage-collector", "frontend")
#: Started before the others, and stopped after them: they need it to finish their work.
OBJECT_STORE = "object-store"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 -- compared only
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
#: After this many seconds a process counts as well started, and the back-off begins again.
_RUNS_WELL = 30.0
#: Seconds beyond the time that the processes themselves may take to stop.
_STOP_MARGIN = 15.0


class FolderInUseError(RuntimeError):
    """Another server runs on this data folder."""


class Supervisor:
    """Starts the processes, restarts each that exits, and stops all of them at the end."""

    def __init__(self, files: list[Path], data: Path, settings: Settings) -> None:
        """`files` are the configuration, `settings` what they say."""
        self._arguments = [argument for file in files for argument in ("--config", str(file))]
        self._data = data
        self._grace = settings.worker.grace + _STOP_MARGIN
        self._processes = (OBJECT_STORE, *PROCESSES) if _has_object_store(settings) else PROCESSES
        self._children: dict[str, asyncio.subprocess.Process] = {}
        #: Whether a process has said that it must not work on a store.
        self.refused = False

    async def serve(self, stop: asyncio.Event) -> None:
        """Run everything until `stop` is set, or a process refuses. Raises :class:`FolderInUseError`."""
        with _locked(self._data):
            keepers = [asyncio.create_task(self._keep_running(name, stop)) for name in self._processes]
            await stop.wait()
            logger.info("stopping")
            await self._stop_all()
            await asyncio.gather(*keepers)

    async def _keep_running(self, name: str, stop: asyncio.Event) -> None:
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not stop.is_set():
            started = time.monotonic()
            try:
                child = await self._start_child(name)
            except OSError as error:  # out of memory or of processes, for now
                logger.error("the %s cannot be started: %s", name, error.strerror)
            else:
                if stop.is_set():  # it started too late for the signal to the others
                    child.terminate()
                status = await child.wait()
                if status == process.INCOMPATIBLE:
                    self.refused = True
                    stop.set()
                if stop.is_set():
                    return
                logger.error("the %s ended with status %d; restarting it", name, status)
            if time.monotonic() - started > _RUNS_WELL:
                back_off.succeeded()
            await wait_at_most(back_off.failed(), stop)

    async def _start_child(self, name: str) -> asyncio.subprocess.Process:
        # What the environment says of the management port is for one process; others have theirs configured.
        environment = dict(os.environ)
        if name != "frontend":
            environment.pop(VARIABLE, None)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "polytope_server", name, "--data", str(self._data)),
            *("--parent", str(os.getpid()), *self._arguments),
            # Ctrl-C at a terminal reaches the supervisor alone, which stops the others in good order.
            start_new_session=True,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
        )
        self._children[name] = child
        return child

    async def _stop_all(self) -> None:
        store = self._children.pop(OBJECT_STORE, None)
        await self._end_children(list(self._children.values()))
        if store is not None:
            await self._end_children([store])

    async def _end_children(self, children: list[asyncio.subprocess.Process]) -> None:
        for child in children:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        waiting = [asyncio.create_task(child.wait()) for child in children]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self._grace)
        if late:
            logger.warning("%d processes did not end in time and are killed", len(late))
            for child in children:
                with suppress(ProcessLookupError):
                    child.kill()
            await asyncio.wait(late)


def _has_object_store(settings: Settings) -> bool:
    """Whether results go to the basic object store, and that is to run on this machine."""
    if "polytope" not in settings.staging:
        return False
    return (settings.staging["polytope"] or {}).get("host", "localhost") in _THIS_MACHINE


def in_use(data: Path) -> bool:
    """Whether a server runs on this data folder now."""
    try:
        with _locked(data):
            return False
    except FolderInUseError:
        return True


class _locked:
    """Holds the data folder for this server; the lock ends with the process, however it ends."""

    def __init__(self, data: Path) -> None:
        self._path = data / "standalone.lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FolderInUseError(f"another server runs on the data folder {self._path.parent}") from None

    def __exit__(self, *_: object) -> None:
        assert self._file is not None  # noqa: S101 -- __enter__ opened it
        self._file.close()
