"""The data source `webmars`: fields of MARS, through the Web API of ECMWF, streamed to their user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from polytope_server.datasource import DataSourceError, Job, RequestCheck, Result
from polytope_server.datasource.mars import text
from polytope_server.datasource.mars.credentials import AccountDataSource, CredentialSettings
from polytope_server.datasource.mars.delivery import Chunks, deliver, note_target
from polytope_server.datasource.webmars.api import WebAPI
from polytope_server.datasource.webmars.remote import RemoteRequest
from polytope_server.datasource.webmars.transfer import Transfer
from polytope_server.language.errors import shown
from polytope_server.settings.addresses import HTTPBase

#: The names of data sets, which are part of an address.
_DATASET = re.compile("[A-Za-z0-9_-]{1,100}")


class WebMARSSettings(CredentialSettings):
    """Keys of the data source `webmars`."""

    url: HTTPBase = Field("https://api.ecmwf.int/v1", description="The Web API, with its version.")
    key: SecretStr | None = Field(
        None, description="API key for users without one, where `override_apikey` is not set."
    )
    tmp_dir: Path | None = Field(None, description="Key of the earlier server; no effect: nothing is stored.")


class WebMARSDataSource(AccountDataSource):
    """Retrieves through the Web API."""

    Settings = WebMARSSettings

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck:
        return _check

    def retrieve(self, job: Job) -> Result:
        _check(job.coerced_request, job.verb)
        note_target(job)
        with ExitStack() as stack:
            api = stack.enter_context(
                closing(WebAPI(self.name, self.settings.url, **self._find_credentials(job)))
            )
            remote = stack.enter_context(RemoteRequest(api))
            answer = remote.submit(_service(job.coerced_request), text.values(job.coerced_request))
            found = remote.wait(answer, job.progress)
            chunks = _until_end(Transfer(self.name, found, api.pause).chunks(), stack.pop_all())
            return deliver(self.name, job, chunks, found.size)

    def _find_credentials(self, job: Job) -> dict[str, str]:
        own = self.settings.key.get_secret_value() if self.settings.key else None
        key = self.settings.find_key(job) or own
        if not key:
            raise DataSourceError(f"{self.name} needs your ECMWF API key, which this server does not know.")
        return {"email": self.settings.find_email(job) or "", "key": key}


def _check(request: Mapping[str, Any], verb: str) -> None:
    """Raise DataSourceError for a retrieval that the service must not get."""
    text.check(request, verb)
    _service(request)


def _service(request: Mapping[str, Any]) -> str:
    """The service for a request: that of a data set, or MARS. Raises DataSourceError."""
    dataset = request.get("dataset")
    if dataset is None:
        return "services/mars"
    if not _DATASET.fullmatch(str(dataset)):
        raise DataSourceError(
            f"key 'dataset': {shown(dataset)} is not accepted; expected the name of one data set"
        )
    return f"datasets/{dataset}"


def _until_end(chunks: Iterable[bytes], stack: ExitStack) -> Chunks:
    with stack:
        yield from chunks
