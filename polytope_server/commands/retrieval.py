"""`python -m polytope_server.commands.retrieval`: one request through a deployment, as a user sends it.

Exits with 0 if the result came and is not empty, with 1 and the reason otherwise. The password is the
variable `POLYTOPE_PASSWORD` of the environment. It uses the public API only, and so tests every part of a
deployment: frontend, store, broker, queue, worker and staging.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urljoin

import requests

#: Seconds: longer than a poll is held.
_ANSWER = 60
_PAUSE = 0.5
_CHUNK = 1 << 20


class RetrievalError(RuntimeError):
    """The request failed; the message is the answer of the deployment."""


class Caller:
    """A user of the deployment at `url`, who gives up after `seconds`."""

    def __init__(self, url: str, user: str, password: str, seconds: float) -> None:
        self._base = f"{url.rstrip('/')}/api/v1/"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (user, password)
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def retrieve(self, collection: str, request: Any) -> int:
        """Submit a request, wait for its result and download it; returns its bytes. Raises RetrievalError."""
        body = {"verb": "retrieve", "request": request}
        answer = self._call_server("POST", f"{self._base}requests/{quote(collection, safe='')}", json=body)
        while answer.status_code == 202:
            self._check_time("the request has not ended")
            answer = self._call_server("GET", urljoin(answer.url, answer.headers.get("Location", "")))
        if answer.status_code != 303:
            raise RetrievalError(f"{answer.status_code}: {answer.text.strip()}")
        return self._download(urljoin(answer.url, answer.headers["Location"]))

    def _call_server(self, method: str, url: str, **options: Any) -> requests.Response:
        """The final answer: calls that reach no server, or get a 503, are repeated."""
        while True:
            try:
                answer = self._session.request(method, url, allow_redirects=False, timeout=_ANSWER, **options)
            except requests.RequestException as error:
                reason = f"{method} {url}: {error}"
            else:
                if answer.status_code != 503:
                    return answer
                reason = f"{method} {url}: 503: {answer.text.strip()}"
            self._check_time(reason)
            time.sleep(_PAUSE)

    def _download(self, url: str) -> int:
        # The link is enough, and may lead to another server, which must not see the password.
        size = 0
        try:
            with requests.get(url, stream=True, timeout=_ANSWER) as answer:
                if answer.status_code != 200:
                    raise RetrievalError(f"GET {url}: {answer.status_code}: {answer.text.strip()}")
                for chunk in answer.iter_content(_CHUNK):
                    size += len(chunk)
        except requests.RequestException as error:
            raise RetrievalError(f"the result cannot be downloaded: {error}") from error
        if size == 0:
            raise RetrievalError(f"GET {url}: the result is empty")
        return size

    def _check_time(self, reason: str) -> None:
        if time.monotonic() > self._deadline:
            raise RetrievalError(f"{reason} (after {self._seconds:g} s)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _make_parser().parse_args(arguments)
    caller = Caller(options.url, options.user, os.environ.get("POLYTOPE_PASSWORD", ""), options.timeout)
    started = time.monotonic()
    try:
        size = caller.retrieve(options.collection, options.request)
    except RetrievalError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(f"{options.collection}: {size} bytes in {time.monotonic() - started:.1f} s")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Submit a request, wait for its result and download it.")
    parser.add_argument("--url", required=True, help="address of the frontend, without /api/v1")
    parser.add_argument("--user", required=True, help="name of the user; the password is $POLYTOPE_PASSWORD")
    parser.add_argument("--collection", required=True, help="name of the collection")
    parser.add_argument("--request", required=True, type=_json, help="the request, as JSON")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for all of it (%(default)s)")
    return parser


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
