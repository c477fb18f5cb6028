"""Many requests through the Service, from outside, one connection a call; and what became of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urljoin
from uuid import uuid4

import requests

#: No answer for so long is a failure, whatever happens in the cluster.
_SECONDS = 300.0
#: How many requests are alive at a time, and how many calls are made: many connections from one address soon
#: have the ports of earlier ones, which the cluster may still lead to a pod that is gone.
_LIVE, _THREADS = 200, 16


class Load:
    """Requests that are submitted, polled and downloaded, while something happens to the server.

    `failures` are the calls that got no answer, or a 5xx. They are repeated, as a client does while a server
    restarts: that no request is lost is one promise, that no call fails another.
    """

    def __init__(self, url: str, user: tuple[str, str], collection: str) -> None:
        """`url` is that of the API, up to /api/v1."""
        self.failures: list[str] = []
        self.done = 0
        self._submissions = 0
        self._url = url
        self._user = user
        self._collection = collection
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS)
        self._futures: list[Future[None]] = []
        #: Address, text, and when it was submitted; the oldest first.
        self._live: deque[tuple[str, str, float]] = deque()

    def __enter__(self) -> Load:
        self._futures = [self._pool.submit(self._work) for _ in range(_THREADS)]
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end when there were enough; every request must have its own result by then."""
        self._enough.set()
        for future in self._futures:
            future.result(2 * _SECONDS)
        self._pool.shutdown()
        assert self.done == self._submissions >= _LIVE

    def _work(self) -> None:
        while True:
            with self._lock:
                wanted = 0 if self._enough.is_set() and self._submissions >= _LIVE else _LIVE
                submit = self._submissions - self.done < wanted
                self._submissions += submit
                oldest = None if submit or not self._live else self._live.popleft()
                if not submit and oldest is None and self.done == self._submissions:
                    return
            if submit:
                self._submit()
            elif oldest is not None:
                self._poll(*oldest)
            else:  # the others have the last ones
                time.sleep(0.1)

    def _submit(self) -> None:
        text = f"text {uuid4()}"
        body = {"verb": "retrieve", "request": text}
        accepted = self._call("POST", f"{self._url}/requests/{self._collection}", 202, json=body)
        place = urljoin(f"{self._url}/requests/", accepted.headers["Location"])
        with self._lock:
            self._live.append((place, text, time.monotonic()))

    def _poll(self, place: str, text: str, since: float) -> None:
        answer = self._call("GET", place, 202, 303)
        if answer.status_code == 202:
            assert time.monotonic() < since + _SECONDS, f"{place} did not end: {answer.text}"
            with self._lock:
                self._live.append((place, text, since))
            return
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
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
