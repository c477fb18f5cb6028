"""One request of a user at the peer: submitted, polled until it has ended, and removed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import IO, Any

from polytope_server.datasource import DataSourceError, Job, TemporaryError
from polytope_server.datasource.federated.identity import credentials_of
from polytope_server.datasource.federated.peer import Answer, AnswerLostError, Call, Peer
from polytope_server.datasource.upstream import message_in
from polytope_server.language import CoercionRules, RequestError, coerce, parse
from polytope_server.staging.names import is_request_id

#: Seconds for which the peer is asked to hold a poll.
_HOLD = 20
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.1, 1.3, 10.0
#: Uploads of the same data that break off before this attempt has failed.
_MOST_UPLOADS = 5
#: Seconds from the last byte of an upload to its answer.
_STORE_TIME = 600.0
#: Seconds by which the times of a list may differ: a date of HTTP has whole ones.
_MARGIN = 5.0
_FAILURE = "Request failed with error:\n"
_GONE = frozenset({404, 410})


class GoneError(TemporaryError):
    """The request is no longer at the peer."""


class Errand:
    """What one job asks of the peer. Its calls wait while the peer is away."""

    def __init__(self, peer: Peer, job: Job, coercion: CoercionRules) -> None:
        """Raises DataSourceError if the user cannot be named to the peer."""
        self._peer = peer
        self._job = job
        #: The id of the request at the peer, empty until it is known.
        self.id = ""
        self._headers: dict[str, str | bytes] = {
            "Authorization": credentials_of(job.username, job.realm, peer.settings.secret.get_secret_value()),
        }
        #: As text, which servers of all versions keep as it is.
        self._text = _text_of(job.coerced_request, coercion)
        self._pause = _FIRST_PAUSE

    def submit(self) -> Answer:
        """Submit the request; the answer says how it stands.

        If the answer is lost, it is found out whether the request is there: it must not run twice.
        """
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Idempotency-Key": self._job.request_id,
            "Polytope-Via": ", ".join([*self._job.via, self._job.request_id]),
        }
        content = {"verb": str(self._job.verb), "request": self._text}
        body = json.dumps(content, ensure_ascii=False).encode()
        path = f"/requests/{self._peer.settings.collection}"
        while True:
            started = time.monotonic()
            call = self._call(headers=headers, body=lambda: body, once=True)
            try:
                answer = self._peer.call("POST", path, call)
            except AnswerLostError:
                if not self._peer.keeps_keys and self.find(started):
                    return self.poll()
                self._rest()
                continue
            self._peer.keeps_keys = "Idempotency-Key" in answer.headers
            self._check(answer)
            self.id = answer.said("id") or _last_segment(answer.headers.get("Location", ""))
            if answer.status == 202 and not is_request_id(self.id):
                raise DataSourceError(f"{self._peer.name} accepts the request, but gives it no id.")
            return answer

    def find(self, started: float) -> bool:
        """Look in the user's list for the request, submitted after `started` (monotonic); remember its id.

        False if it is not there, or if there are several: then it is not known which is this one.
        """
        answer = self._peer.call("GET", f"/requests/{self._peer.settings.collection}", self._call())
        now = _read_date(answer.headers.get("Date", ""))
        if now is None:
            return False
        since = now - (time.monotonic() - started) - _MARGIN
        listed = (answer.document or {}).get("message")
        requests = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        found = [
            str(item.get("id"))
            for item in requests
            if item.get("user_request") == self._text
            and item.get("verb") == str(self._job.verb)
            and _number(item.get("timestamp")) >= since
        ]
        self.id = found[0] if len(found) == 1 and is_request_id(found[0]) else ""
        return bool(self.id)

    def poll(self) -> Answer:
        """How the request stands, after a while if it has not ended.

        Raises DataSourceError if it failed, and GoneError if it is no longer there.
        """
        call = self._call(headers={**self._headers, "Prefer": f"wait={_HOLD}"})
        answer = self._peer.call("GET", f"/requests/{self.id}", call)
        if answer.status in _GONE:
            raise GoneError(f"The request is no longer at {self._peer.name}.")
        self._check(answer)
        return answer

    def wait(self, answer: Answer) -> Answer:
        """Poll until the request has ended, or wants its data; the last answer."""
        while answer.status == 202 and not wants_data(answer):
            self._job.progress(f"{self._peer.name}: {answer.said('message') or answer.said('status')}")
            started = time.monotonic()
            answer = self.poll()
            if answer.status == 202 and time.monotonic() - started < self._pause:
                self._rest()
        return answer

    def upload(self, data: IO[bytes], md5: str) -> Answer:
        """Send the data of an archive; the answer of the poll after that."""
        for _ in range(_MOST_UPLOADS):
            answer = self._upload_once(data, md5)
            state = self.poll()
            if not wants_data(state):
                return state
            if answer is not None and answer.status >= 400:
                self._check(answer)
            self._rest()
        raise TemporaryError(f"The upload to {self._peer.name} breaks off again and again.")

    def _upload_once(self, data: IO[bytes], md5: str) -> Answer | None:
        headers = {**self._headers, "Content-Type": "application/octet-stream", "X-Checksum": md5}

        def rewind() -> IO[bytes]:
            data.seek(0)
            return data

        call = self._call(headers=headers, body=rewind, once=True, timeout=_STORE_TIME)
        try:
            return self._peer.call("POST", f"/uploads/{self.id}", call)
        except AnswerLostError:
            return None

    def fetch(self, url: str, offset: int = 0, etag: str = "") -> Answer:
        """The result at an address that the peer gave, from that byte on if there was one before."""
        headers: dict[str, str | bytes] = dict(self._headers) if self._peer.is_own(url) else {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag and not etag.startswith("W/"):
                headers["If-Range"] = etag
        return self._peer.call("GET", url, self._call(headers=headers, data=True))

    def revoke(self, patience: float) -> None:
        """Remove the request, whatever its state, with its result. Raises TemporaryError."""
        self._peer.call("DELETE", f"/requests/{self.id}", self._call(patience=patience))

    def _call(self, **how: Any) -> Call:
        return Call(**{"headers": self._headers, "say": self._job.progress, **how})

    def _rest(self) -> None:
        time.sleep(self._pause)
        self._pause = min(self._pause * _PAUSE_GROWTH, _LONGEST_PAUSE)

    def _check(self, answer: Answer) -> None:
        """Raises DataSourceError for what no repetition would change."""
        name, status = self._peer.name, answer.status
        if status < 400:
            return
        message = message_in(answer.text, "message")
        if status == 401:
            reason = f"{name} does not let this server act for users of the realm {self._job.realm!r}."
            raise DataSourceError(f"{reason} It says: {message}" if message else reason)
        raise DataSourceError(
            message.removeprefix(_FAILURE) or f"{name} refuses the request with status {status}."
        )


def wants_data(answer: Answer) -> bool:
    """Whether it is about an archive that waits for its data."""
    return answer.status == 202 and answer.said("status") == "uploading"


def _text_of(request: Mapping[str, Any], coercion: CoercionRules) -> str:
    """The text of a coerced request that is the same request for the peer.

    A request that is a text goes as it is, if the peer will not read more into it than was judged here.
    """
    if set(request) == {"data"}:
        value = request["data"]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        with suppress(RequestError):  # which must not be read at all
            if coerce(parse(text), coercion) == request:
                return text
    return json.dumps(dict(request), ensure_ascii=False)


def _last_segment(location: str) -> str:
    return location.partition("?")[0].rstrip("/").rpartition("/")[2]


def _read_date(text: str) -> float | None:
    """Seconds since the epoch of a date of HTTP."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
