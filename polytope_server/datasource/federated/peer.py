"""Another server: calls of its REST API, which wait until it answers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from polytope_server import __version__
from polytope_server.back_off import BackOff
from polytope_server.datasource import TemporaryError
from polytope_server.datasource.federated.settings import FederatedSettings
from polytope_server.datasource.upstream import BREAKS, is_passing, media_type, new_session, read_retry_after
from polytope_server.texts import encodable

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
#: Seconds: a longer `Retry-After` is not heeded to the end.
_LONGEST_RETRY_AFTER = 120.0
_CONNECT = 10.0
#: Bytes of an answer in JSON. A list of 10,000 requests may have some megabytes.
_LARGEST_DOCUMENT = 32 << 20
#: Statuses with which a living server says that its user must wait: no outage.
_HOLDS = frozenset({429})
_NOT_BUILT = 501


class AnswerLostError(Exception):
    """A call may have had its effect, or not: its answer did not come."""


@dataclass
class Answer:
    """An answer. One in JSON has been read; the body of another one is still to come in `response`."""

    status: int
    headers: Mapping[str, str]
    response: requests.Response
    document: Mapping[str, Any] | None = None
    #: What was read, where the document is no mapping.
    text: str = ""

    def said(self, key: str) -> str:
        """A text of the document, empty if it has none."""
        value = (self.document or {}).get(key)
        return encodable(value) if isinstance(value, str) else ""


def _say_nothing(text: str) -> None:
    """Pass nothing on."""


@dataclass
class Call:
    """How a call is made, beside method and address.

    `once` calls are not repeated after an answer that did not come: AnswerLostError. `patience` is how many
    seconds the peer may be out of reach, by default those of the configuration. With `data` what comes is not
    read, even if it is JSON. `say` is given words for the user.
    """

    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    body: Callable[[], bytes | IO[bytes]] | None = None
    once: bool = False
    patience: float | None = None
    timeout: float | None = None
    data: bool = False
    say: Callable[[str], None] = _say_nothing


class Peer:
    """Another server, as one process calls it."""

    def __init__(self, name: str, settings: FederatedSettings) -> None:
        self.name = name
        self.settings = settings
        self.base = settings.base
        #: Whether it heeds `Idempotency-Key`; not known until it has answered.
        self.keeps_keys = False
        self.reconnect()

    def reconnect(self) -> None:
        """Leave the connections that there are, as another process must."""
        self._session = new_session({"User-Agent": f"polytope-server/{__version__}"})
        self._session.verify = self.settings.ca_file or True

    def is_own(self, url: str) -> bool:
        """Whether an address is this server's: credentials go nowhere else."""
        return url.startswith(f"{self.base}/")

    def resolve(self, location: str, at: str = "") -> str:
        """The address for a location in the answer of an address, by default in that to a poll.

        Of addresses of its own API only the path counts: behind a proxy a server may know neither the scheme
        nor the port by which it is reached. Raises TemporaryError.
        """
        try:
            found = urlsplit(urljoin(at or f"{self.base}/requests/", location))
        except ValueError as error:
            raise TemporaryError(f"{self.name} gives an address that is none.") from error
        base = urlsplit(self.base)
        if found.hostname == base.hostname and found.path.startswith(f"{base.path}/"):
            found = found._replace(scheme=base.scheme, netloc=base.netloc)
        return found.geturl()

    def call(self, method: str, url: str, how: Call) -> Answer:
        """Call a path below the API, or a whole address, until there is an answer other than "not now".

        Raises TemporaryError when that takes too long, and AnswerLostError.
        """
        target = url if "://" in url else f"{self.base}{url}"
        outage = _Outage(self, how)
        while True:
            try:
                answer = self._call_once(method, target, how)
            except (requests.RequestException, *BREAKS) as error:
                logger.warning("data source %s: %s %s: %s", self.name, method, target, error)
                if isinstance(error, ValueError):
                    raise TemporaryError(f"{self.name} gives an address that is none.") from error
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise TemporaryError(f"The certificate of {self.name} cannot be verified.") from error
                if how.once and not _was_not_sent(error):
                    raise AnswerLostError from error
                outage.wait()
                continue
            if answer.status == _NOT_BUILT or not is_passing(answer.status):
                return answer
            answer.response.close()
            logger.info("data source %s: %s %s: status %d", self.name, method, target, answer.status)
            if how.once and answer.status >= 500:
                raise AnswerLostError
            outage.wait(answer)

    def _call_once(self, method: str, url: str, how: Call) -> Answer:
        response = self._session.request(
            method,
            url,
            headers=how.headers,
            data=how.body() if how.body is not None else None,
            timeout=(min(_CONNECT, self.settings.timeout), how.timeout or self.settings.timeout),
            stream=True,
            allow_redirects=False,
        )
        answer = Answer(response.status_code, response.headers, response)
        is_json = media_type(response.headers) == "application/json"
        if response.status_code >= 300 or (is_json and not how.data):
            _read_document(answer)
        return answer


class _Outage:
    """The time in which one call got no answer, and the pauses in it."""

    def __init__(self, peer: Peer, how: Call) -> None:
        self._name = peer.name
        self._patience = peer.settings.outage if how.patience is None else how.patience
        self._say = how.say
        self._back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._since: float | None = None

    def wait(self, answer: Answer | None = None) -> None:
        """Pause before the next attempt. Raises TemporaryError if there were enough."""
        pause = max(
            self._back_off.failed(), read_retry_after(answer.headers, _LONGEST_RETRY_AFTER) if answer else 0.0
        )
        now = time.monotonic()
        if answer is not None and answer.status in _HOLDS:
            self._since = None
            self._say(f"{self._name} says: {answer.said('message') or 'too many requests'}")
        else:
            self._since = now if self._since is None else self._since
            if now + pause > self._since + self._patience:
                raise TemporaryError(f"{self._name} cannot be reached, or cannot answer, at the moment.")
            self._say(f"{self._name} does not answer at the moment; trying again.")
        time.sleep(pause)


def _read_document(answer: Answer) -> None:
    """Read the body of an answer that is no data; what follows the first bytes of a huge one is left out."""
    body = bytearray()
    with answer.response as response:
        for chunk in response.raw.stream(1 << 16, decode_content=True):
            body += chunk
            if len(body) > _LARGEST_DOCUMENT:
                break
    answer.text = body.decode(errors="replace")
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return
    answer.document = found if isinstance(found, dict) else None


def _was_not_sent(error: Exception) -> bool:
    """Whether there was no connection over which the call could have had an effect."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError)
