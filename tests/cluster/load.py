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
#: So many requests are alive at a time.
_LIVE = 200


class Load:
    """Requests that are submitted, polled and downloaded, while something happens to the server.

    `failures` are the calls that got no answer, or a 5xx. They are repeated, as a client does while a server
    restarts: that no request is lost is one promise, that no call fails another.
    """

    def __init__(self, url: str, user: tuple[str, str], collection: str) -> None:
        """`url` is that of the API, up to /api/v1."""
        self.failures: list[str] = []
        self.done = 0
        self._started = 0
        self._url = url
        self._user = user
        self._collection = collection
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_LIVE)
        self._futures: list[Future[None]] = []

    def __enter__(self) -> Load:
        self._futures = [self._pool.submit(self._many) for _ in range(_LIVE)]
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end when there were enough; every request must have its own result by then."""
        self._enough.set()
        for future in self._futures:
            future.result(2 * _SECONDS)
        self._pool.shutdown()
        assert self.done == self._started >= _LIVE

    def _many(self) -> None:
        while True:
            with self._lock:
                if self._enough.is_set() and self._started >= _LIVE:
                    return
                self._started += 1
            self._one()
            with self._lock:
                self.done += 1

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
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
