"""Keys of the ECMWF web API."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any, ClassVar

import requests
from pydantic import Field, field_validator

from polytope_server.authentication import (
    AuthenticationUnavailableError,
    Authenticator,
    AuthenticatorSettings,
)
from polytope_server.authentication.pool import BoundedPool
from polytope_server.user import User

_UNAVAILABLE = "The service that knows ECMWF API keys cannot be reached at the moment"
_THREADS = 8
_LIMIT = 256
_LARGEST_ANSWER = 64 << 10
_log = logging.getLogger(__name__)


class _NoKeys(logging.Filter):
    """Drops the lines of the HTTP library about these calls: the key is part of the address."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "who-am-i" not in record.getMessage()


logging.getLogger("urllib3.connectionpool").addFilter(_NoKeys())


class ECMWFAPISettings(AuthenticatorSettings):
    """Keys of the authenticator `ecmwfapi`."""

    url: str = Field(description="Base of the service, for example `https://api.ecmwf.int/v1`.")
    status_url: str | None = Field(None, description="Key of the earlier server; no effect.")
    timeout: float = Field(10.0, gt=0, le=300, description="Seconds after which the service counts as down.")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("an address begins with https:// or http://")
        return url.rstrip("/")


class ECMWFAPIAuthenticator(Authenticator):
    """`EmailKey <e-mail>:<key>`: the service says whose key it is; the e-mail must be that person's."""

    Settings: ClassVar[type[AuthenticatorSettings]] = ECMWFAPISettings
    scheme = "EmailKey"
    hint = "E-mail and key of your ECMWF account"

    def __init__(self, realm: str, settings: ECMWFAPISettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._timeout = settings.timeout
        self._url = f"{settings.url}/who-am-i"
        self._pool: BoundedPool | None = None

    async def open(self) -> None:
        self._pool = BoundedPool("ecmwfapi", _THREADS, _LIMIT)

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    async def authenticate(self, credentials: str) -> User | None:
        email, _, key = credentials.partition(":")
        if not email or not key:
            return None
        owner = await self._who_is(key)
        if owner is None or owner["email"].casefold() != email.casefold():
            return None
        attributes = {"ecmwf-email": owner["email"], "ecmwf-apikey": key}
        return User(owner["uid"], self.realm, attributes=attributes)

    async def _who_is(self, key: str) -> dict[str, str] | None:
        if self._pool is None:
            raise AuthenticationUnavailableError(_UNAVAILABLE)
        try:
            # The library's time-out is one for each piece of the answer; this is one for the whole.
            async with asyncio.timeout(self._timeout):
                status, body = await self._pool.run(lambda: self._ask(key))
        except TimeoutError:
            status, body = 0, b"no answer in time"
        if status in (401, 403):
            return None
        owner = _owner(body) if status == 200 else None
        if owner is None:
            _log.warning("%s: status %s", self._url, status or body.decode())
            raise AuthenticationUnavailableError(_UNAVAILABLE)
        return owner

    def _ask(self, key: str) -> tuple[int, bytes]:
        """Status and body of the answer; 0 and the kind of error if there is none."""
        proxy = os.environ.get("POLYTOPE_PROXY")
        with requests.Session() as session:
            session.trust_env = False  # no .netrc, which would add other credentials
            session.proxies = {"http": proxy, "https": proxy} if proxy else {}
            try:
                with session.get(
                    self._url,
                    params={"token": key},
                    timeout=self._timeout,
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    return answer.status_code, _body(answer)
            except (requests.RequestException, ValueError) as error:
                # Not passed on: its text holds the address, and with it the key.
                return 0, type(error).__name__.encode()


def _body(answer: requests.Response) -> bytes:
    """The body, or nothing if it is too large to be what is asked for."""
    body = b""
    for piece in answer.iter_content(4096):
        body += piece
        if len(body) > _LARGEST_ANSWER:
            return b""
    return body


def _owner(body: bytes) -> dict[str, str] | None:
    """`uid` and `email` of an answer; None if it is something else."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    owner = {key: found.get(key) for key in ("uid", "email")}
    if not all(isinstance(value, str) and value and value.isprintable() for value in owner.values()):
        return None
    return {key: str(value) for key, value in owner.items()}
