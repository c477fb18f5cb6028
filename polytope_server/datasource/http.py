"""The data source `http`: another service that answers requests sent to it with POST.

A request goes out as JSON, or as plain text where it is a text; the service answers 200 with the data, or
4xx with `{"message": ...}` for the user. What else it does is the service's trouble, and tried again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import requests
import urllib3
from pydantic import Field, field_validator

from polytope_server.datasource import (
    OCTET_STREAM,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    Result,
    TemporaryError,
)
from polytope_server.settings.addresses import is_server, server_in
from polytope_server.settings.values import Duration

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
#: What is read of an error answer at most, and what of its message is shown.
_ERROR_BYTES = 64 << 10
_MESSAGE_LENGTH = 1000
#: Client errors (RFC 9110, 6585) that say "not now" rather than "not so".
_TRY_AGAIN = frozenset({408, 425, 429})


class HTTPSettings(DataSourceSettings):
    """Keys of the data source `http`."""

    url: str = Field(description="Where requests are sent.")
    headers: dict[str, str] = Field(default_factory=dict, description="Further headers, such as credentials.")
    timeout: Duration = Field(
        60.0, gt=0, description="Longest wait for a connection, and for each piece of the answer."
    )
    content_type: str | None = Field(
        None, description="Media type of the results; by default that of the answer."
    )
    archive: bool = Field(False, description="Whether uploads are sent there, too.")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        # It may name a user.
        if not url.startswith(("http://", "https://")) or not is_server(server_in(url).rpartition("@")[2]):
            raise ValueError("must be a URL such as https://host/path")
        return url


class HTTPDataSource(DataSource):
    """Sends requests to one URL and streams what comes back."""

    Settings = HTTPSettings

    def __init__(self, name: str, settings: HTTPSettings) -> None:
        super().__init__(name, settings)
        self._session = requests.Session()
        # Neither proxies nor a ~/.netrc of this account: only what is configured.
        self._session.trust_env = False
        self._session.headers.update(settings.headers)
        # The bytes are passed on as they are, so they must not be compressed on the way.
        self._session.headers["Accept-Encoding"] = "identity"

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return bool(settings.archive)

    def retrieve(self, job: Job) -> Result:
        body, content_type = _encode(job.coerced_request)
        answer = self._post(body, content_type)
        try:
            self._check(answer, lambda status: status == 200)
            encoding = answer.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise DataSourceError(f"{self.name} answers with the unwanted encoding {encoding!r}.")
        except BaseException:
            answer.close()
            raise
        return Result(self.settings.content_type or _media_type(answer.headers), self._chunks(answer))

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        if not self.settings.archive:
            raise DataSourceError(f"data source {self.name} does not archive")
        # An iterator, never a list, which `requests` takes for the pairs of a form.
        with self._post(iter(data), OCTET_STREAM) as answer:
            self._check(answer, lambda status: 200 <= status < 300)

    def _post(self, body: bytes | Iterator[bytes], content_type: str) -> requests.Response:
        headers = {} if "Content-Type" in self.settings.headers else {"Content-Type": content_type}
        try:
            return self._session.post(
                self.settings.url,
                data=body,
                headers=headers,
                timeout=self.settings.timeout,
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            logger.warning("data source %s: %s", self.name, error)
            raise TemporaryError(f"{self.name} cannot be reached at the moment.") from error

    def _check(self, answer: requests.Response, accepted: Callable[[int], bool]) -> None:
        status = answer.status_code
        if accepted(status):
            return
        if status >= 500 or status in _TRY_AGAIN:
            raise TemporaryError(f"{self.name} fails at the moment, with status {status}.")
        if status >= 400:
            raise DataSourceError(
                _message(answer) or f"{self.name} refuses the request with status {status}."
            )
        # A redirect is not followed: the credentials in the headers are for the configured URL only.
        raise DataSourceError(f"{self.name} answers with the unexpected status {status}.")

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        with answer:
            try:
                # Not iter_content(): urllib3 itself compares what came with the Content-Length.
                yield from answer.raw.stream(_CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                logger.warning("data source %s: %s", self.name, error)
                raise TemporaryError(f"The answer of {self.name} broke off.") from error


def _encode(request: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body for a coerced request, and its media type. `{"data": text}` is a request that is a text."""
    if set(request) == {"data"} and isinstance(request["data"], str):
        return request["data"].encode(), "text/plain; charset=utf-8"
    return json.dumps(dict(request)).encode(), "application/json"


def _media_type(headers: Mapping[str, str]) -> str:
    """The media type without its parameters, which clients would not recognise."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() or OCTET_STREAM


def _message(answer: requests.Response) -> str:
    """What an error answer says to the user: its `message`, else its text; bounded."""
    try:
        body = answer.raw.read(_ERROR_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    message = found.get("message") if isinstance(found, dict) else None
    message = str(message if message is not None else text).strip()
    return message if len(message) <= _MESSAGE_LENGTH else message[:_MESSAGE_LENGTH] + " ..."
