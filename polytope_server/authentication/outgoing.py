"""Calls of services that know credentials: bounded in time, size and number, and never told in a log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import aiohttp
from pydantic import AfterValidator

from polytope_server.authentication import AuthenticationUnavailableError

_log = logging.getLogger(__name__)

#: Calls at a time; further ones wait, and beyond so many that wait they are refused.
_CONNECTIONS, _LIMIT = 32, 256
_LARGEST_ANSWER = 128 << 10
_TOO_MANY = "Too many log-ins at a time, please try again later"


def _http(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("an address begins with https:// or http://")
    return url.rstrip("/")


#: The address of a service in the configuration, without a slash at its end.
Address = Annotated[str, AfterValidator(_http)]


class Answer(NamedTuple):
    """What a service said: `document` is the JSON of the body, None if it is no JSON or too large."""

    status: int
    document: Any
    headers: Mapping[str, str]


class OutgoingService:
    """One service that is asked about credentials.

    Redirects are not followed, because they would take the credentials elsewhere; proxies of the environment
    and .netrc are not looked at, but `POLYTOPE_PROXY` is.
    """

    def __init__(self, unavailable: str, timeout: float, *, verify: bool = True) -> None:
        """`unavailable` is what callers are told when it cannot be reached, without address or secret;
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
            return await self._answer(self._session, method, url, options)
        # Their texts hold addresses, and with some services the secret is part of the address.
        except TimeoutError:
            reason = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = type(error).__name__
        finally:
            self._calls -= 1
        raise self.unavailable(url, reason)

    def unavailable(self, url: str, reason: object) -> AuthenticationUnavailableError:
        """The error that says that the service is of no use now; `url` and reason are logged."""
        _log.warning("%s: %s", url, reason)
        return AuthenticationUnavailableError(self._unavailable)

    @staticmethod
    async def _answer(
        session: aiohttp.ClientSession, method: str, url: str, options: Mapping[str, Any]
    ) -> Answer:
        proxy = os.environ.get("POLYTOPE_PROXY") or None
        async with session.request(method, url, allow_redirects=False, proxy=proxy, **options) as answer:
            return Answer(answer.status, await _document(answer), answer.headers)


async def _document(answer: aiohttp.ClientResponse) -> Any:
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
