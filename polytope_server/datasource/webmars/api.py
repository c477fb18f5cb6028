"""The Web API of ECMWF, as the package `ecmwf-api-client` 1.7 speaks it: single calls, and what they answer.

That package is not used: it writes to a file before anything can be passed on, waits without end, cannot give
up a request, and sends the credentials along with a redirect to another host.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3

from polytope_server.back_off import BackOff
from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.upstream import is_passing, new_session, read_retry_after
from polytope_server.texts import clipped

logger = logging.getLogger(__name__)

_TIMEOUT = (10, 60)
#: Bytes of an answer; a page of messages has 500 lines.
_LARGEST = 4 << 20
_MESSAGES = 500
#: How often a call is tried; with the pauses between, a service may be away for ten minutes.
_TRIES = 15
#: Seconds between two tries, or two polls.
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_POLL_PAUSE = 5.0
_REDIRECTS = frozenset({301, 302, 307, 308})
_MOST_REDIRECTS = 5
_LONGEST_TEXT = 500
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """What the service answered to a call."""

    status: int
    body: Mapping[str, Any]
    #: Seconds until the next call.
    pause: float
    #: Where the request is from now on.
    location: str | None

    @property
    def messages(self) -> list[str]:
        """Lines for the user, bounded and fit to be shown."""
        found = self.body.get("messages")
        return [shown(line) for line in found[:_MESSAGES]] if isinstance(found, list) else []


class WebAPI:
    """Calls of one user."""

    #: Waits for as many seconds.
    pause: Callable[[float], None] = staticmethod(time.sleep)

    def __init__(self, name: str, url: str, email: str, key: str) -> None:
        """`name` is that of the data source, for messages; `url` ends with the version, such as `/v1`."""
        self.name = name
        self.url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "From": email, "X-ECMWF-KEY": key}
        self._session = new_outgoing_session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self, method: str, url: str, payload: Mapping[str, Any] | None = None, offset: int = 0
    ) -> Answer:
        """Call the service, as often as it takes until it answers. Raises DataSourceError, TemporaryError.

        `offset` is the number of messages that are known.
        """
        back_off = BackOff(_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                answer = self.call_once(method, url, payload, offset)
            except (OSError, urllib3.exceptions.HTTPError) as error:
                # What was submitted may have arrived, and must not be submitted twice.
                self._give_up(method, url, error, method == "POST" or back_off.failures + 1 >= _TRIES)
                self.pause(back_off.failed())
                continue
            if not is_passing(answer.status):
                return self._check(answer)
            self._give_up(method, url, f"status {answer.status}", back_off.failures + 1 >= _TRIES)
            self.pause(max(back_off.failed(), answer.pause))

    def call_once(
        self, method: str, url: str, payload: Mapping[str, Any] | None = None, offset: int = 0
    ) -> Answer:
        """Call the service once. Raises OSError, errors of urllib3, TemporaryError."""
        for _ in range(_MOST_REDIRECTS):
            with self._session.request(
                method,
                url,
                params={"offset": str(offset), "limit": str(_MESSAGES)},
                json=payload,
                headers=self._headers,
                timeout=_TIMEOUT,
                stream=True,
            ) as answer:
                where = answer.headers.get("Location")
                where = None if where is None else urljoin(url, where)
                if answer.status_code not in _REDIRECTS:
                    return _read_answer(answer, self._own(url, where) if answer.status_code < 300 else None)
                url = self._own(url, where) or url
        raise OSError(f"more than {_MOST_REDIRECTS} redirects")

    def _own(self, url: str, where: str | None) -> str | None:
        """An address that the service names. Raises TemporaryError if it is another's, who gets no key."""
        if where is not None and not is_same_server(urlsplit(url), urlsplit(where)):
            logger.error("data source %s: %s leads to another server, %s", self.name, url, where)
            raise TemporaryError(f"{self.name} cannot be used at the moment.")
        return where.partition("?")[0] if where is not None else None

    def _give_up(self, method: str, url: str, reason: object, now: bool) -> None:
        logger.warning("data source %s: %s %s: %s", self.name, method, url, reason)
        if now:
            raise TemporaryError(f"{self.name} cannot be reached at the moment.")

    def _check(self, answer: Answer) -> Answer:
        """The answer, unless it says that the service refuses, or has failed. Raises DataSourceError."""
        error = answer.body.get("error")
        if answer.status in (401, 403):
            why = f": {shown(error)}" if error else "."
            raise DataSourceError(f"{self.name} refuses the ECMWF API key of this request{why}")
        if error or answer.status >= 400:
            text = shown(error) if error else f"It answers with status {answer.status}."
            raise DataSourceError("\n".join([f"{self.name} failed: {text}", *answer.messages[-5:]]))
        return answer


def new_outgoing_session(*, follows: bool = False) -> requests.Session:
    """A session by the proxy of this server; `follows` says whether it follows redirects."""
    session = new_session(follows=follows)
    if proxy := os.environ.get("POLYTOPE_PROXY"):
        session.proxies = {"http": proxy, "https": proxy}
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.max_redirects = _MOST_REDIRECTS
    return session


def is_same_server(old: SplitResult, new: SplitResult) -> bool:
    """Whether credentials for the old address may go to the new one: the same, or the same by TLS."""
    try:
        before, after = [(each.scheme, each.port or _DEFAULT_PORTS.get(each.scheme)) for each in (old, new)]
    except ValueError:  # no such port
        return False
    by_tls = (before, after) == (("http", 80), ("https", 443))
    return old.hostname == new.hostname and (before == after or by_tls)


def shown(text: object) -> str:
    """A text of the service, bounded and on one line."""
    return clipped("".join(one if one.isprintable() else " " for one in str(text)[: 2 * _LONGEST_TEXT]), 500)


def _read_answer(answer: requests.Response, location: str | None) -> Answer:
    body: Any = {}
    content = answer.raw.read(_LARGEST, decode_content=True)
    if content and answer.status_code != 204:
        try:
            body = json.loads(content)
        except ValueError:
            if answer.status_code < 300:
                raise OSError("an answer that is no JSON") from None
    pause = max(read_retry_after(answer.headers, _LONGEST_PAUSE, _POLL_PAUSE), _PAUSE)
    return Answer(answer.status_code, body if isinstance(body, dict) else {}, pause, location)
