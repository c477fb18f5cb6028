"""The data source `http`: another service that answers requests sent to it with POST.

A request goes out as JSON, or as plain text where it is a text; the service answers 200 with the data, or
4xx with `{"message": ...}` for the user. What else it does is the service's trouble, and tried again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import requests
from pydantic import Field, field_validator

from polytope_server.datasource import (
    OCTET_STREAM,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    Result,
)
from polytope_server.datasource.upstream import (
    SUCCESS,
    check_status,
    media_type,
    new_session,
    send,
    stream_body,
)
from polytope_server.settings.addresses import is_server, server_in
from polytope_server.settings.values import Duration

logger = logging.getLogger(__name__)


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
    accepts_mappings = True

    def __init__(self, name: str, settings: HTTPSettings) -> None:
        super().__init__(name, settings)
        self._session = new_session(settings.headers)

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return bool(settings.archive)

    def retrieve(self, job: Job) -> Result:
        body, content_type = _encode(job.coerced_request)
        answer = self._post(body, content_type, [200])
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            answer.close()
            raise DataSourceError(f"{self.name} answers with the unwanted encoding {encoding!r}.")
        content_type = self.settings.content_type or media_type(answer.headers)
        return Result(content_type, stream_body(answer, self.name))

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        if not self.settings.archive:
            raise DataSourceError(f"data source {self.name} does not archive")
        # An iterator, never a list, which `requests` takes for the pairs of a form.
        self._post(iter(data), OCTET_STREAM, SUCCESS).close()

    def _post(
        self, body: bytes | Iterator[bytes], content_type: str, accepted: Container[int]
    ) -> requests.Response:
        """An answer with an accepted status. Raises DataSourceError and TemporaryError for another one."""
        headers = {} if "Content-Type" in self.settings.headers else {"Content-Type": content_type}
        url, timeout = self.settings.url, self.settings.timeout
        answer = send(self._session, self.name, "POST", url, timeout, data=body, headers=headers)
        check_status(answer, self.name, accepted, "message")
        return answer


def _encode(request: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body for a coerced request, and its media type. `{"data": text}` is a request that is a text."""
    if set(request) == {"data"} and isinstance(request["data"], str):
        return request["data"].encode(), "text/plain; charset=utf-8"
    return json.dumps(dict(request)).encode(), "application/json"
