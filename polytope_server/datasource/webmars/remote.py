"""A request at the Web API of ECMWF: submitted, followed, and deleted, whatever becomes of this process."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urljoin

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.webmars import deletion
from polytope_server.datasource.webmars.api import Answer, WebAPI, shown

logger = logging.getLogger(__name__)

#: States in which a request has ended without a result.
_FAILED = frozenset({"aborted", "failed", "rejected", "expired", "deleted"})
#: Seconds for the process that deletes requests to end.
_LAST_WORDS = 2.0


@dataclass(frozen=True)
class RemoteResult:
    """Where the data are, and how many bytes."""

    address: str
    size: int


class RemoteRequest:
    """One request at the service. It is deleted at the end of the block, and if this process is killed."""

    def __init__(self, api: WebAPI, credentials: Mapping[str, str]) -> None:
        """`credentials` are the arguments `url`, `email` and `key` of the API."""
        self._api = api
        self._credentials = credentials
        self._location = ""
        self._known = 0
        self._said = ""

    def __enter__(self) -> Self:
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-I", deletion.__file__, str(theirs.fileno()), self._api.name]
        try:
            self._deleter = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        return self

    def __exit__(self, *error: object) -> None:
        if self._location:
            deletion.delete(self._api, self._location)
        self._pass_on({})
        self._connection.close()
        try:
            self._deleter.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._deleter.kill()
            self._deleter.wait()

    def _pass_on(self, what: Mapping[str, str]) -> None:
        try:
            self._connection.sendall(json.dumps(what).encode() + b"\n")
        except OSError as error:
            logger.warning("a request of %s may be left at the service: %s", self._api.name, error)

    def submit(self, service: str, values: Mapping[str, str]) -> Answer:
        """Submit the request. Raises DataSourceError, TemporaryError."""
        answer = self._api.call("POST", f"{self._api.url}/{service}/requests", values)
        self._note_location(answer)
        if not self._location and self._find_result(answer) is None:
            raise self._unusable("no address of the request")
        return answer

    def wait(self, answer: Answer, progress: Callable[[str], None]) -> RemoteResult:
        """Wait until the data are there; `answer` is that to the submission.

        Raises DataSourceError, TemporaryError.
        """
        while (found := self._find_result(answer)) is None:
            self._say(answer, progress)
            self._api.pause(answer.pause)
            answer = self._api.call("GET", self._location, offset=self._known)
            self._note_location(answer)
        return found

    def _note_location(self, answer: Answer) -> None:
        if answer.location and answer.location != self._location and answer.status in (201, 202):
            self._location = answer.location
            self._pass_on({**self._credentials, "location": self._location})

    def _say(self, answer: Answer, progress: Callable[[str], None]) -> None:
        self._known += len(answer.messages)
        state = shown(answer.body.get("status", ""))
        text = ": ".join(filter(None, [state, *answer.messages[-1:]]))
        if text and text != self._said:
            self._said = text
            progress(text)

    def _find_result(self, answer: Answer) -> RemoteResult | None:
        """The result, if the answer has it. Raises DataSourceError if there will be none, TemporaryError."""
        state = answer.body.get("status")
        if state in _FAILED:
            reason = str(answer.body.get("reason") or f"the request is {state}")
            raise DataSourceError(
                "\n".join([f"{self._api.name} failed: {shown(reason)}", *answer.messages[-5:]])
            )
        if answer.status != 303 and not (answer.status == 200 and state == "complete"):
            return None
        result: Any = answer.body.get("result", answer.body)
        try:
            return RemoteResult(urljoin(f"{self._api.url}/", str(result["href"])), int(result["size"]))
        except (LookupError, TypeError, ValueError):
            raise self._unusable("a result without href and size") from None

    def _unusable(self, reason: str) -> TemporaryError:
        logger.error("data source %s: the service answers with %s", self._api.name, reason)
        return TemporaryError(f"{self._api.name} cannot be used at the moment.")
