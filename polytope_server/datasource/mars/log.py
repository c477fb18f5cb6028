"""What the MARS client prints: bounded, for the log of the server, and for the user."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from polytope_server.datasource import Job
from polytope_server.texts import clipped

logger = logging.getLogger(__name__)

#: Bytes of a line that are looked at.
_LONGEST_LINE = 2000
#: Characters of a line that are shown.
_SHOWN = 500
#: Lines that are logged as they come, and the last ones that are logged when the client fails.
_LOGGED, _LAST = 200, 20
#: Error lines for the user.
_MOST_ERRORS = 20


class ClientLog:
    """Takes what the client prints, line by line."""

    def __init__(
        self,
        job: Job,
        error_filter: str,
        folder: Path,
        interval: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lines with `error_filter` in them are for the user.

        Others are shown as progress, one each `interval` seconds. `folder` is hidden in what users read.
        """
        self._job = job
        self._filter = error_filter
        self._folder = str(folder)
        self._interval = interval
        self._now = now
        self._next_report = now()
        self._begun = bytearray()
        self._count = 0
        self._last: deque[str] = deque(maxlen=_LAST)
        #: The error lines, each once.
        self.errors: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the output."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._add(part)
            self._end_line()
        self._add(rest)

    def end(self, failed: bool) -> None:
        """The output has ended. The last lines of a client that failed are logged."""
        if self._begun:
            self._end_line()
        if self._count > _LOGGED:
            logger.info("%d further lines of the MARS client are left out", self._count - _LOGGED)
            if failed:
                logger.warning("the last lines of the MARS client:\n%s", "\n".join(self._last))

    def _add(self, part: bytes) -> None:
        room = _LONGEST_LINE - len(self._begun)
        self._begun += part[:room]

    def _end_line(self) -> None:
        text = self._begun.decode(errors="replace")
        self._begun.clear()
        line = clipped("".join(one if one.isprintable() else " " for one in text).strip(), _SHOWN)
        if not line:
            return
        self._count += 1
        self._last.append(line)
        if self._count <= _LOGGED:
            logger.info("MARS client: %s", line)
        self._tell(line.replace(self._folder, "..."), self._filter in text)

    def _tell(self, line: str, is_error: bool) -> None:
        if is_error:
            if line not in self.errors and len(self.errors) < _MOST_ERRORS:
                self.errors.append(line)
                self._job.note(line)
        elif self._now() >= self._next_report:
            self._next_report = self._now() + self._interval
            self._job.progress(line)
