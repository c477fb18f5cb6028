"""What data sources that call another service over HTTP share: sessions, bounded messages, streams."""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Iterator, Mapping
from typing import Any

import requests
import urllib3

from polytope_server.datasource import OCTET_STREAM, DataSourceError, TemporaryError

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
#: What is read of an error answer at most, and what of its message is shown.
_ERROR_BYTES = 64 << 10
_MESSAGE_LENGTH = 1000
#: Client errors (RFC 9110, 6585) that say "not now" rather than "not so".
_TRY_AGAIN = frozenset({408, 425, 429})
SUCCESS = range(200, 300)
#: What a broken connection raises while an answer is read.
BREAKS = (urllib3.exceptions.HTTPError, OSError)


class _StayingSession(requests.Session):
    """A session that follows no redirect."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even where it follows none, requests would read the body of one, whatever its size."""
        return


def new_session(headers: Mapping[str, str] | None = None, *, follows: bool = False) -> requests.Session:
    """A session with these headers on every call; `follows` says whether it follows redirects."""
    session = requests.Session() if follows else _StayingSession()
    # Neither proxies nor a ~/.netrc of this account: only what is configured.
    session.trust_env = False
    session.headers.update(headers or {})
    # The bytes are passed on as they are, so they must not be compressed on the way.
    session.headers["Accept-Encoding"] = "identity"
    return session


def send(
    session: requests.Session, name: str, method: str, url: str, timeout: float, **options: Any
) -> requests.Response:
    """Call the service of the data source of that name; `options` are those of `requests`.

    The body of the answer is still to be read. Raises TemporaryError if there is no answer.
    """
    try:
        return session.request(method, url, timeout=timeout, stream=True, **options)
    except requests.RequestException as error:
        logger.warning("data source %s: %s", name, error)
        raise TemporaryError(f"{name} cannot be reached at the moment.") from error


def check_status(answer: requests.Response, name: str, accepted: Container[int], *keys: str) -> None:
    """Raise DataSourceError or TemporaryError unless the status of an answer is accepted.

    `keys` are the names under which the service gives a message. The answer is closed before it raises.
    """
    status = answer.status_code
    if status in accepted:
        return
    with answer:
        if is_passing(status):
            raise TemporaryError(f"{name} fails at the moment, with status {status}.")
        if status >= 400:
            message = read_message(answer, *keys)
            raise DataSourceError(message or f"{name} refuses the request with status {status}.")
    # A redirect is not followed: the credentials in the headers are for the configured address only.
    raise DataSourceError(f"{name} answers with the unexpected status {status}.")


def is_passing(status: int) -> bool:
    """Whether the same call may succeed another time."""
    return status >= 500 or status in _TRY_AGAIN


def read_retry_after(headers: Mapping[str, str], longest: float, default: float = 0.0) -> float:
    """The seconds that an answer asks to wait, at most `longest`.

    `default` where it does not ask, or names a time of day.
    """
    value = headers.get("Retry-After", "").strip()
    return min(float(value), longest) if value.isdecimal() and value.isascii() else default


def media_type(headers: Mapping[str, str]) -> str:
    """The media type without its parameters, which clients would not recognise."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() or OCTET_STREAM


def stream_body(answer: requests.Response, name: str) -> Iterator[bytes]:
    """The body in chunks of 1 MiB at most. Raises TemporaryError if it breaks off."""
    with answer:
        try:
            # Not iter_content(): urllib3 itself compares what came with the Content-Length.
            yield from answer.raw.stream(_CHUNK, decode_content=False)
        except BREAKS as error:
            logger.warning("data source %s: %s", name, error)
            raise TemporaryError(f"The answer of {name} broke off.") from error


def read_message(answer: requests.Response, *keys: str) -> str:
    """What an error answer says to the user: the first of `keys` that it has, else its text; bounded."""
    try:
        body = answer.raw.read(_ERROR_BYTES, decode_content=False)
    except BREAKS:
        return ""
    return message_in(body.decode(errors="replace"), *keys)


def message_in(text: str, *keys: str) -> str:
    """The same of a text that was read: the value of one of `keys` in a JSON object, else the text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    values = [found[key] for key in keys if found.get(key) is not None] if isinstance(found, dict) else []
    message = _as_text(values[0] if values else text).strip()
    return message if len(message) <= _MESSAGE_LENGTH else message[:_MESSAGE_LENGTH] + " ..."


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
