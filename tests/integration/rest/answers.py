"""What the tests of REST API v1 expect of its answers, and the credentials that they call with."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import requests
from caller import Caller

from testbed.server import basic

#: `call("bob")` is a caller, `in_background(function)` what it will return.
Callers = Callable[..., Caller]
Background = Callable[..., Future[Any]]

MALFORMED = "The browser (or proxy) sent a request that this server could not understand."
NO_ROUTE = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
WRONG_METHOD = "The method is not allowed for the requested URL."
NO_VERB = "HTTP request content is missing 'verb' (e.g. retrieve)"
NO_REQUEST = "HTTP request content is missing 'request'"
RETRIEVE = {"verb": "retrieve", "request": "x"}
ALICE = basic("alice", "alice's password")["Authorization"]
BOB = basic("bob", "bob's password")["Authorization"]
GRACE = "EmailKey grace@example.org:0123456789abcdef0123456789abcdef"
PEER = "Federation shared-between-two-servers:somebody:test"
JSON = {"Content-Type": "application/json"}
#: A time in an answer.
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def pending(request_id: str, status: str = "queued") -> dict[str, str]:
    """The body of a 202 about a request that has not ended."""
    return {"message": f"Request {status}", "status": status, "id": request_id}


def message(answer: requests.Response) -> tuple[int, str]:
    """Status and message of an answer that says nothing else."""
    body = answer.json()
    assert list(body) == ["message"], body
    return answer.status_code, body["message"]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def allowed(answer: requests.Response) -> set[str]:
    return {method.strip() for method in answer.headers["Allow"].split(",")}


def lasting_headers(answer: requests.Response) -> dict[str, str]:
    """The headers, by names in lower case, without those that differ each time."""
    found = {name.lower(): value for name, value in answer.headers.items()}
    return {name: value for name, value in found.items() if name not in ("date", "x-request-id")}


def whoami(caller: Caller) -> str:
    """The user name as the server knows it."""
    status, text = message(caller.post("/requests/nobody", {}))
    assert status == 403
    return re.fullmatch(r"User (\S+) cannot access collection nobody", text)[1]  # type: ignore[index]
