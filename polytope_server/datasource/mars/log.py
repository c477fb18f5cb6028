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
        self._filter = error_filter.encode()
        self._folder = str(folder)
        self._interval = interval
        self._now = now
        self._next_report = now()
        self._begun = bytearray()
        self._count = 0
        self._last: deque[bytes] = deque(maxlen=_LAST)
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
                logger.warning("the last lines of the MARS client:\n%s", "\n".join(map(_clean, self._last)))

    def _add(self, part: bytes) -> None:
        room = _LONGEST_LINE - len(self._begun)
        self._begun += part[:room]

    def _end_line(self) -> None:
        line = bytes(self._begun).strip()
        self._begun.clear()
        if not line:
            return
        self._count += 1
        self._last.append(line)
        if self._count <= _LOGGED:
            logger.info("MARS client: %s", _clean(line))
        # PERF: a client may print faster than its lines could be made fit to be shown; few of them are.
        if self._filter in line:
            self._note_error(line)
        elif (now := self._now()) >= self._next_report:
            self._next_report = now + self._interval
            self._job.progress(self._show(line))

    def _note_error(self, line: bytes) -> None:
        if len(self.errors) < _MOST_ERRORS and (text := self._show(line)) not in self.errors:
            self.errors.append(text)
            self._job.note(text)

    def _show(self, line: bytes) -> str:
        return _clean(line).replace(self._folder, "...")


def _clean(line: bytes) -> str:
    """The text of a line, fit to be shown."""
    text = line.decode(errors="replace")
    return clipped("".join(one if one.isprintable() else " " for one in text), _SHOWN)
