"""The data source `ionbeam`: observations of the Internet of Things, from the REST API of IonBeam.

Keys of a request are parameters of `GET /retrieve`, whose answer is streamed. An upload goes to
`POST /archive` as the file of a form, with the keys as parameters. Files of this machine are never read,
whatever a request says.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import requests
from pydantic import Field, field_validator

from polytope_server.datasource import (
    OCTET_STREAM,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    RequestCheck,
    Result,
)
from polytope_server.datasource.upstream import SUCCESS, check_status, new_session, send, stream_body
from polytope_server.settings.addresses import HTTPBase
from polytope_server.settings.values import Duration

logger = logging.getLogger(__name__)

#: Characters of the parameters: servers take addresses of 8 kB.
_LONGEST_QUERY = 6000
#: With which earlier servers had the worker read a file of its own.
_FILE_KEYS = ("path", "keys")
#: What frameworks call the message of an error.
_MESSAGE_KEYS = ("detail", "message")


class IonBeamSettings(DataSourceSettings):
    """Keys of the data source `ionbeam`."""

    api_endpoint: HTTPBase = Field(
        "http://iotdev-001:18201/api/v1", description="The REST API, with or without a slash at the end."
    )
    timeout: Duration = Field(
        60.0, gt=0, description="Longest wait for a connection, and for each piece of an answer."
    )

    @field_validator("api_endpoint")
    @classmethod
    def _strip_slash(cls, address: str) -> str:
        return address.rstrip("/")


class IonBeamDataSource(DataSource):
    """Retrieves from, and archives to, IonBeam."""

    Settings = IonBeamSettings

    def __init__(self, name: str, settings: IonBeamSettings) -> None:
        super().__init__(name, settings)
        self._session = new_session()

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return True

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck | None:
        return _check_request

    def retrieve(self, job: Job) -> Result:
        _check_request(job.coerced_request, "retrieve")
        answer = self._call("GET", "retrieve", job, {"Accept": OCTET_STREAM})
        # In whatever form the request asks for: clients take no other type of these.
        return Result(OCTET_STREAM, stream_body(answer, self.name))

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        _check_request(job.coerced_request, "archive")
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        self._call("POST", "archive", job, headers, _as_form(data, boundary)).close()

    def _call(
        self,
        method: str,
        path: str,
        job: Job,
        headers: Mapping[str, str],
        body: Iterator[bytes] | None = None,
    ) -> requests.Response:
        """An answer of success. Raises DataSourceError and TemporaryError for every other one."""
        url, timeout = f"{self.settings.api_endpoint}/{path}", self.settings.timeout
        answer = send(
            *(self._session, self.name, method, url, timeout),
            params=_parameters(job.coerced_request),
            headers=headers,
            data=body,
        )
        check_status(answer, self.name, SUCCESS, *_MESSAGE_KEYS)
        return answer


def _check_request(request: Mapping[str, Any], verb: str) -> None:
    """Raises DataSourceError with all that is wrong with a coerced request."""
    problems = []
    for key, value in request.items():
        if verb == "archive" and key in _FILE_KEYS:
            problems.append(
                f"key '{key}' is not accepted: no file of the server is read; upload the data, and give the "
                "keys that describe them"
            )
        elif isinstance(value, list | dict | tuple) or value is None:
            problems.append(f"key '{key}': {value!r:.100} is not accepted; expected a text or a number")
    if set(request) == {"data"}:
        problems = [
            "expected keys with values, such as {platform: acronet, start_time: 2026-01-01T00:00:00Z}"
        ]
    if not problems and (length := sum(map(len, _parameters(request).values()))) > _LONGEST_QUERY:
        problems = [f"the values have {length} characters; at most {_LONGEST_QUERY} are accepted"]
    if problems:
        raise DataSourceError("\n".join(problems))


def _parameters(request: Mapping[str, Any]) -> dict[str, str]:
    """The keys of a request as parameters of a call."""
    return {key: _as_text(value) for key, value in request.items()}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_form(data: Iterable[bytes], boundary: str) -> Iterator[bytes]:
    """The body of a form (RFC 7578) with one file, in pieces."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="data"\r\n'
    yield f"{head}Content-Type: {OCTET_STREAM}\r\n\r\n".encode()
    yield from (chunk for chunk in data if chunk)
    yield f"\r\n--{boundary}--\r\n".encode()
