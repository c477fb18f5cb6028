"""What the tests that kill something share: a slow data source, many requests, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from uuid import uuid4

from polytope_server.config import load
from polytope_server.settings import create_backend
from polytope_server.staging import Staging
from polytope_server.staging.names import request_of
from testbed.server import StandaloneServer
from testbed.waiting import until

FULL = os.environ.get("POLYTOPE_FAULTS") == "full"
REQUESTS = 200 if FULL else 40
ROUNDS = 5 if FULL else 1
SEED = int(os.environ.get("POLYTOPE_FAULTS_SEED", "0")) or random.randrange(10**9)
#: Long enough that all slots are busy most of the time, short enough for many requests.
WORK_SECONDS = 0.05


class CountingSource:
    """A data source over HTTP that takes `seconds` for an answer, and counts what it was asked for."""

    def __init__(self, seconds: float) -> None:
        self.asked: Counter[str] = Counter()
        lock = threading.Lock()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    asked[body.decode()] += 1
                threading.Event().wait(seconds)
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # killed clients
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def serving(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@contextmanager
def slow_source() -> Iterator[str]:
    """The address of a data source that takes a while, as long as it runs."""
    with CountingSource(WORK_SECONDS).serving() as source:
        yield source.url


def config(source: str) -> dict[str, Any]:
    """Sections for a server whose collection `slow` is served by that data source."""
    return {
        "worker": {"lease": 2, "retry_delay": 0.05, "max_attempts": 10, "concurrency": 4},
        "garbage-collector": {"interval": 1, "orphan_age": 0},
        "broker": {"interval": 2},
        "datasources": {"slow": {"type": "http", "url": source, "timeout": 30}},
        "collections": {"slow": {"roles": {"test": ["default"]}, "datasources": ["slow"]}},
    }


class Batch:
    """Requests that one test submits, and what must become of them."""

    def __init__(self, server: StandaloneServer) -> None:
        self._server = server
        self._prefix = f"request-{uuid4().hex[:8]}"
        #: What each accepted request must yield, by its id.
        self.expected: dict[str, str] = {}
        #: Submissions that were refused with 503: the store may have kept one whose answer was lost.
        self.refused = 0

    def submit(self, count: int = REQUESTS) -> None:
        """Submit requests, which must all be accepted."""
        session = self._server.session()
        for _ in range(count):
            text = self._text()
            self.expected[self._server.submit(session, "slow", text)] = text

    def try_one(self) -> int:
        """Submit a request while something is out of order; returns the status: 202, or a clean 503."""
        text = self._text()
        body = {"verb": "retrieve", "request": text}
        answer = self._server.session().post(f"{self._server.url}/requests/slow", json=body, timeout=60)
        if answer.status_code == 202:
            self.expected[answer.headers["Location"].rpartition("/")[2]] = text
        else:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            assert list(answer.json()) == ["message"]
            self.refused += 1
        return answer.status_code

    def _text(self) -> str:
        return f"{self._prefix}-{len(self.expected)}-{self.refused}"

    def documents(self) -> list[dict[str, Any]]:
        """The requests as the server lists them."""
        session, url = self._server.session(), f"{self._server.url}/requests"
        deadline = time.monotonic() + 60
        while (answer := session.get(url, timeout=60)).status_code == 503:
            assert time.monotonic() < deadline, answer.text
        found = answer.json()["message"]
        return [document for document in found if document["user_request"].startswith(self._prefix)]

    def processed(self) -> int:
        """How many are done."""
        return sum(document["status"] == "processed" for document in self.documents())

    def check(self) -> None:
        """Every request is processed, with exactly its one result, and staging holds nothing else of them."""
        with ThreadPoolExecutor(8) as pool:
            results = dict(zip(self.expected, pool.map(self._result, self.expected), strict=True))
        # The data source gets the coerced request: a text goes as text.
        assert {key: data.decode() for key, data in results.items()} == self.expected
        until(lambda: {document["status"] for document in self.documents()} == {"processed"})
        documents = {document["id"]: document for document in self.documents()}
        assert documents.keys() >= self.expected.keys()
        assert len(documents) <= len(self.expected) + self.refused
        urls = {document["url"].removeprefix("./downloads/") for document in documents.values()}
        until(lambda: {name for name in staged(self._server) if request_of(name) in documents} == urls)

    def _result(self, request_id: str) -> bytes:
        return self._server.result(self._server.session(), request_id)


def staged(server: StandaloneServer) -> set[str]:
    """The names of all objects in the staging of a server."""
    return asyncio.run(_staged(server))


async def _staged(server: StandaloneServer) -> set[str]:
    configuration = load(server.files, environ=server.environment)
    staging: Staging = create_backend("staging", configuration.settings.staging, server.data)
    await staging.open()
    try:
        return {found.name async for found in staging.list()}
    finally:
        await staging.close()
