"""The file of a schedule: read at the start, and again when it has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from polytope_server.schedule import Schedule

logger = logging.getLogger(__name__)

#: Where earlier servers have it, if this variable is `true`.
EARLIER_FILE, EARLIER_VARIABLE = Path("/etc/polytope_schedule/schedule.xml"), "SCHEDULE_ENABLED"
#: Bytes. Those of practice have a few hundred kilobytes.
_LARGEST = 32 << 20
#: Seconds between two looks at the file.
_INTERVAL = 1.0


def find_file(configured: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that the configuration names, else that of earlier servers if the environment asks for it."""
    earlier = environ.get(EARLIER_VARIABLE, "").strip().lower() in ("true", "1", "yes")
    return configured or (EARLIER_FILE if earlier else None)


class ScheduleFile:
    """The schedule in a file. One that cannot be read later leaves the last good one in force."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError for a file that cannot be read, or that holds no schedule."""
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._stamp = self._read_stamp()
        self._schedule = self._read()

    def current(self) -> Schedule:
        """The schedule, read again if the file has changed since the last look."""
        if self._clock() - self._looked < _INTERVAL:
            return self._schedule
        self._looked = self._clock()
        stamp = self._read_stamp()
        if stamp != self._stamp:
            # Whether it is good or not: each change is read, and an error logged, once.
            self._stamp = stamp
            try:
                self._schedule = self._read()
                logger.info("schedule of releases: read %s again", self._path)
            except ValueError as error:
                logger.error("schedule of releases: %s; the one before stays in force", error)
        return self._schedule

    def _read_stamp(self) -> tuple[int, ...]:
        """What changes with the file: time, size, and which file it is, as Kubernetes replaces it."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Schedule:
        # Not above: every command would import a parser of XML, which few configurations need.
        from polytope_server.schedule.reading import read_schedule

        try:
            with self._path.open("rb") as file:
                text = file.read(_LARGEST + 1)
        except OSError as error:
            raise ValueError(f"{self._path} cannot be read: {error.strerror}") from None
        if len(text) > _LARGEST:
            raise ValueError(f"{self._path} is larger than {_LARGEST >> 20} MiB")
        try:
            return read_schedule(text)
        except ValueError as error:
            raise ValueError(f"{self._path} {error}") from None
