"""Many requests through the Service, from outside, one connection a call; and what became of them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urljoin
from uuid import uuid4

import requests

#: No answer for so long is a failure, whatever happens in the cluster.
_SECONDS = 300.0


class Load:
    """Requests that are submitted, polled and downloaded, each call on a connection of its own.

    `failures` are the calls that got no answer, or a 5xx. With `patient` they are repeated, as a client does
    while a server restarts; what counts then is only that each request ends with its result.
    """

    def __init__(self, url: str, user: tuple[str, str], collection: str, *, patient: bool = False) -> None:
        """`url` is that of the API, up to /api/v1."""
        self.failures: list[str] = []
        self.done = 0
        self._url = url
        self._user = user
        self._collection = collection
        self._patient = patient
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(16)
        self._futures: list[Future[None]] = []

    def start(self, count: int = 200) -> None:
        """Submit requests in the background."""
        self._futures += [self._pool.submit(self._one) for _ in range(count)]

    @property
    def running(self) -> bool:
        """Whether some of them have not ended."""
        return not all(future.done() for future in self._futures)

    def finish(self) -> None:
        """Wait for all; AssertionError if one did not end `processed` with its own bytes."""
        for future in self._futures:
            future.result(_SECONDS)
        self._pool.shutdown()
        if not self._patient:
            assert not self.failures

    def _one(self) -> None:
        text = f"text {uuid4()}"
        body = {"verb": "retrieve", "request": text}
        accepted = self._call("POST", f"{self._url}/requests/{self._collection}", 202, json=body)
        place = urljoin(f"{self._url}/requests/", accepted.headers["Location"])
        deadline = time.monotonic() + _SECONDS
        while (answer := self._call("GET", place, 202, 303)).status_code == 202:
            assert time.monotonic() < deadline, f"{place} did not end: {answer.text}"
        result = self._call("GET", urljoin(place, answer.headers["Location"]), 200)
        assert result.content == text.encode(), result.text[:200]
        with self._lock:
            self.done += 1

    def _call(self, method: str, url: str, *expected: int, json: object = None) -> requests.Response:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                # Without a session: an idle connection may be closed in the moment in which it is used again.
                answer = requests.request(
                    method, url, json=json, auth=self._user, allow_redirects=False, timeout=60
                )
                if answer.status_code in expected:
                    return answer
                said = f"{method} {url}: {answer.status_code} {answer.text[:300]}"
                assert answer.status_code >= 500, said
            except requests.RequestException as error:
                said = f"{method} {url}: {error}"
            with self._lock:
                self.failures.append(f"{time.strftime('%X')} {said}")
            # Repeated in any case: that no request is lost is one promise, that no call fails another.
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
