"""Calls of services that know credentials: bounded in time, size and number, and never logged."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator, Field

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.settings.addresses import HTTPAddress, HTTPBase

logger = logging.getLogger(__name__)

#: Calls at a time, and how many more may wait; further ones are refused.
_CONNECTIONS, _LIMIT = 32, 256
_LARGEST_ANSWER = 128 << 10
_TOO_MANY = "Too many log-ins at a time, please try again later"


#: The address of something that a service shows.
Address = HTTPAddress
#: The address of a service, to which paths are added; without a slash at its end.
BaseAddress = Annotated[HTTPBase, AfterValidator(lambda url: url.rstrip("/"))]
Timeout = Annotated[float, Field(gt=0, le=300, description="Seconds after which the service counts as down.")]


def unencrypted(address: str, warning: str) -> list[str]:
    """The warning, and what to do, if what is sent to that address is not encrypted."""
    return [f"{warning}; use https://"] if urlsplit(address).scheme == "http" else []


class Answer(NamedTuple):
    """What a service said: `document` is the JSON of the body, None if it is no JSON or too large."""

    status: int
    document: Any
    headers: Mapping[str, str]

    def text(self, key: str) -> str | None:
        """The text of that key in a JSON object; None if there is none, or an empty one."""
        value = self.document.get(key) if isinstance(self.document, dict) else None
        return value if isinstance(value, str) and value else None


class OutgoingService:
    """One service that is asked about credentials.

    Redirects are not followed, because they would take the credentials elsewhere; proxies of the environment
    and .netrc are not looked at, but `POLYTOPE_PROXY` is.
    """

    def __init__(self, unavailable: str, timeout: float, *, verify: bool = True) -> None:
        """`unavailable` is the answer to callers when it cannot be reached, without address or secret;
        `timeout` is in seconds, for a call as a whole; `verify` says whether its certificate is checked.
        """
        self._unavailable = unavailable
        self._timeout = timeout
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None
        self._calls = 0

    async def open(self) -> None:
        """Get ready; the service need not run."""
        if self._session is None:
            # One context: it reads the certificates of the system, which takes tens of milliseconds.
            context = await asyncio.to_thread(ssl.create_default_context) if self._verify else False
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=context),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, url: str, **options: Any) -> Answer:
        """The answer to a call, whatever its status; `options` are those of aiohttp (`params`, `data`, ...).

        Raises :class:`AuthenticationUnavailableError` if there is none in time.
        """
        if self._session is None:
            raise AuthenticationUnavailableError(self._unavailable)
        if self._calls >= _LIMIT:
            raise AuthenticationUnavailableError(_TOO_MANY)
        self._calls += 1
        try:
            return await self._read_answer(self._session, method, url, options)
        # Their texts hold addresses, and with some services the secret is part of the address.
        except TimeoutError:
            reason = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = type(error).__name__
        finally:
            self._calls -= 1
        raise self.unavailable(url, reason)

    def unavailable(
        self, url: str, reason: object, level: int = logging.WARNING
    ) -> AuthenticationUnavailableError:
        """The error that says that the service is of no use now; `url` (no query) and reason are logged."""
        logger.log(level, "%s: %s", url.partition("?")[0], reason)
        return AuthenticationUnavailableError(self._unavailable)

    @staticmethod
    async def _read_answer(
        session: aiohttp.ClientSession, method: str, url: str, options: Mapping[str, Any]
    ) -> Answer:
        proxy = os.environ.get("POLYTOPE_PROXY") or None
        async with session.request(method, url, allow_redirects=False, proxy=proxy, **options) as answer:
            return Answer(answer.status, await _parse_document(answer), answer.headers)


async def _parse_document(answer: aiohttp.ClientResponse) -> Any:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _LARGEST_ANSWER:
            answer.close()
            return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class ServiceAuthenticator(Authenticator):
    """An authenticator that has a service check the credentials."""

    forwards: ClassVar[bool] = True

    def __init__(self, realm: str, settings: Any, data: Path, service: OutgoingService) -> None:
        """`service` is opened and closed with the authenticator; several may share one."""
        super().__init__(realm, settings, data)
        self._service = service

    async def open(self) -> None:
        await self._service.open()

    async def close(self) -> None:
        await self._service.close()
