"""A data source that needs a key of its user, as a package of another author: see `test_secrets.py`."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection
from typing import Any

from pydantic import SecretStr

from polytope_server.datasource import (
    OCTET_STREAM,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    Result,
    TemporaryError,
)

logger = logging.getLogger("keyed")


class KeyedSettings(DataSourceSettings):
    """`pin` is a secret by its type, though not by its name."""

    pin: SecretStr | None = None
    named: bool = True


class KeyedDataSource(DataSource):
    """Answers with the SHA-256 of the key, or fails in the way that the request asks for, telling the key."""

    Settings = KeyedSettings

    @classmethod
    def user_attributes(cls, settings: Any) -> Collection[str]:
        return ("ecmwf-apikey", "ecmwf-email") if settings.named else ()

    def retrieve(self, job: Job) -> Result:
        key, how = job.attributes.get("ecmwf-apikey", "nothing"), job.user_request
        logger.debug("asking with %s and %s", key, self.settings.pin)
        if how == "log":
            thread = threading.Thread(target=logger.error, args=("a thread of %r uses %s", job, key))
            thread.start()
            thread.join()
        if how == "refuse":
            raise DataSourceError(f"the service refuses the key {key}")
        if how == "retry":
            raise TemporaryError(f"the service does not answer to {key}")
        if how == "crash":
            raise ValueError(f"cannot read {{'key': '{key}'}}")
        return Result(OCTET_STREAM, self._chunks(key, how))

    def _chunks(self, key: str, how: str) -> Any:
        yield hashlib.sha256(key.encode()).hexdigest().encode()
        if how == "break":
            raise ValueError(f"broke off with {key}")
