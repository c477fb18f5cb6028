"""Data of the Web API of ECMWF, streamed. A transfer that breaks off goes on where it was."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping

import requests
import urllib3

from polytope_server.back_off import BackOff
from polytope_server.datasource import TemporaryError
from polytope_server.datasource.upstream import is_passing
from polytope_server.datasource.webmars.api import new_outgoing_session
from polytope_server.datasource.webmars.remote import RemoteResult

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_TIMEOUT = (10, 60)
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
#: Attempts in a row that bring nothing.
_TRIES = 5
_RANGE = re.compile(r"bytes ([0-9]+)-")


class Transfer:
    """The transfer of one result. No credentials go along: the data may be on another host."""

    def __init__(self, name: str, found: RemoteResult, pause: Callable[[float], None]) -> None:
        """`name` is that of the data source, for messages."""
        self._name = name
        self._found = found
        self._pause = pause
        self._received = 0
        self._version: str | None = None

    def chunks(self) -> Iterator[bytes]:
        """All of the data. Raises TemporaryError."""
        back_off = BackOff(_PAUSE, _LONGEST_PAUSE)
        with new_outgoing_session(follows=True) as session:
            while self._received < self._found.size:
                before, reason = self._received, "it broke off"
                try:
                    yield from self._attempt(session)
                except (OSError, urllib3.exceptions.HTTPError) as error:
                    reason = str(error)
                if self._received > before:
                    back_off.succeeded()
                if self._received < self._found.size:
                    self._resume_later(back_off, reason)
        if self._received > self._found.size:
            raise self._failed(f"{self._received} of {self._found.size} bytes came")

    def _resume_later(self, back_off: BackOff, reason: str) -> None:
        logger.warning("data source %s: transfer at byte %d: %s", self._name, self._received, reason)
        pause = back_off.failed()
        if back_off.failures >= _TRIES:
            raise TemporaryError(f"The data of {self._name} could not be transferred.")
        self._pause(pause)

    def _attempt(self, session: requests.Session) -> Iterator[bytes]:
        """What comes of one call. Raises OSError, errors of urllib3, TemporaryError."""
        headers = {"Range": f"bytes={self._received}-"} if self._received else {}
        with session.get(self._found.address, headers=headers, timeout=_TIMEOUT, stream=True) as answer:
            skip = self._find_start(answer)
            for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                rest = chunk[skip:]
                skip -= len(chunk) - len(rest)
                self._received += len(rest)
                if rest:
                    yield rest

    def _find_start(self, answer: requests.Response) -> int:
        """How many bytes of the answer are known. Raises OSError, TemporaryError."""
        status = answer.status_code
        if is_passing(status):
            raise OSError(f"status {status}")
        if status not in (200, 206):
            raise self._failed(f"status {status}")
        self._check_version(answer.headers)
        start = _RANGE.match(answer.headers.get("Content-Range", "")) if status == 206 else None
        if status == 206 and (start is None or int(start[1]) != self._received):
            raise self._failed("another part than the one that was asked for")
        # A server that knows no ranges begins at the start.
        return self._received if status == 200 else 0

    def _check_version(self, headers: Mapping[str, str]) -> None:
        version = headers.get("ETag")
        if self._received and version != self._version:
            raise self._failed("the data have changed")
        self._version = version

    def _failed(self, reason: str) -> TemporaryError:
        logger.error("data source %s: transfer at byte %d: %s", self._name, self._received, reason)
        return TemporaryError(f"The data of {self._name} could not be transferred.")
