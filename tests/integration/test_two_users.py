"""Two users against every route that carries an id: another's is answered exactly like an unknown one."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import falcon.inspect
import pytest
import requests
from caller import Caller
from collected import collect
from gate import Gate

from polytope_server.config import Configuration
from polytope_server.frontend.composition import compose
from polytope_server.frontend.v1.routes import make_falcon
from polytope_server.runtime.management.server import Management

PREFIX = "/api/v1"
DATA = b"some data"
#: How often each call is made in pairs, one after the other.
PAIRS = 40
#: What a difference must exceed to be one: an answer takes milliseconds, a look into the store tenths of one.
SECONDS = 0.0025


@dataclass(frozen=True)
class Route:
    """A method and a path with fields."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, request_id: str) -> str:
        """The path for a request; what else is in it cannot be known."""
        return self.path.format_map(_Filled(request_id))


class _Filled(dict[str, str]):
    def __init__(self, request_id: str) -> None:
        super().__init__(request_id=request_id)
        #: `/requests/{name}` takes an id there; `/downloads/{request_id}/{name}` the rest of a link.
        self.request_id = request_id

    def __missing__(self, field: str) -> str:
        return self.request_id


def routes() -> list[Route]:
    """Every method of every route of the application that has a field, whatever its name."""
    services = compose(Configuration(), Path("/nowhere"))
    app = make_falcon(services, Management(None, services.health, services.metrics, lambda: False))
    found = [
        Route(method.method, route.path.removeprefix(PREFIX))
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if "{" in route.path and not method.internal  # what Falcon itself answers knows no ids
    ]
    return found + [Route("HEAD", route.path) for route in found if route.method == "GET"]


ROUTES = routes()


def test_the_routes_are_found() -> None:
    assert {str(route) for route in ROUTES} >= {
        *(
            "GET /requests/{name}",
            "POST /requests/{name}",
            "DELETE /requests/{name}",
            "HEAD /requests/{name}",
        ),
        *(
            "GET /downloads/{request_id}",
            "HEAD /downloads/{request_id}",
            "GET /downloads/{request_id}/{name}",
        ),
        *("GET /uploads/{request_id}", "POST /uploads/{request_id}", "HEAD /uploads/{request_id}"),
    }


@pytest.fixture(scope="module")
def alices(server: Any, gate: Gate, caller_of: type[Caller]) -> Iterator[dict[str, str]]:
    """Requests of alice in all states, by their state."""
    alice = caller_of(server, "alice")
    held = f"hold {uuid4()}"
    found = {
        "waiting": alice.submit("held", "x"),
        "uploading": alice.submit("echo", "x", "archive"),
        "processing": alice.submit("gate", held),
        "processed": alice.submit("echo", "x"),
        "failed": alice.submit("raise", "x"),
        "archived": alice.archive("echo", DATA, hashlib.md5(DATA).hexdigest()),
    }
    gate.wait_for(held)
    for state in ("processed", "failed", "archived"):
        alice.end_of(found[state])
    found["removed"] = alice.submit("echo", "x")
    alice.end_of(found["removed"])
    collect(server, found["removed"])
    yield found
    gate.release(held)


def ask(caller: Caller, route: Route, request_id: str) -> requests.Response:
    body: dict[str, Any] = {}
    if route.method == "POST" and "uploads" in route.path:
        body = {"data": DATA, "headers": {"X-Checksum": hashlib.md5(DATA).hexdigest()}}
    elif route.method not in ("GET", "HEAD"):
        body = {"json": {"verb": "retrieve", "request": "x"}}
    # One that were held would be held for two minutes.
    return caller(route.method, route.at(request_id), **{"timeout": 20, **body})


def seen(answer: requests.Response, request_id: str) -> tuple[int, dict[str, str], str]:
    """All of an answer, but for the id that was asked for, the time of day, and the id of the call."""
    headers = {name.lower(): value.replace(request_id, "ID") for name, value in answer.headers.items()}
    for name in ("date", "x-request-id"):
        headers.pop(name, None)
    return answer.status_code, headers, answer.text.replace(request_id, "ID")


@pytest.mark.parametrize("who", ["bob", "peer of alice in another realm", "nobody"])
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_anothers_id_is_answered_like_an_unknown_one(
    route: Route, who: str, alices: dict[str, str], server: Any, caller_of: type[Caller]
) -> None:
    caller = caller_of(server, "bob" if who == "bob" else None)
    if who.startswith("peer"):
        caller.session.headers["Authorization"] = (
            "EmailKey grace@example.org:0123456789abcdef0123456789abcdef"
        )
    unknown = str(uuid4())
    expected = seen(ask(caller, route, unknown), unknown)
    for state, request_id in alices.items():
        assert seen(ask(caller, route, request_id), request_id) == expected, state
    alice = caller_of(server, "alice")
    assert {alice.status_of(request_id) for request_id in alices.values()} == {
        *("waiting", "uploading", "processing", "processed", "failed", "gone")
    }
    assert alice.poll(alices["removed"]).status_code == 410


def differ(one: Callable[[], object], other: Callable[[], object]) -> bool:
    """Whether one of two calls takes longer, by more than :data:`SECONDS` and by more than chance.

    They take turns, so that whatever else the machine does hits both; each is compared with the neighbours
    before and after it, and the median leaves out what hit only one.
    """
    times: list[float] = []
    for number in range(2 * PAIRS):
        started = time.perf_counter()
        (one, other)[number % 2]()
        times.append(time.perf_counter() - started)
    differences = [
        (later - earlier) if number % 2 else (earlier - later)
        for number, (earlier, later) in enumerate(pairwise(times))
    ]
    middle = statistics.median(differences)
    same_sign = sum((difference > 0) == (middle > 0) for difference in differences)
    return abs(middle) > SECONDS and same_sign > 0.8 * len(differences)


@pytest.mark.parametrize("state", ["waiting", "processed", "removed"])
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_anothers_id_takes_as_long_as_an_unknown_one(
    route: Route, state: str, alices: dict[str, str], bob: Caller
) -> None:
    unknown = str(uuid4())
    calls = [lambda name=name: ask(bob, route, name) for name in (alices[state], unknown)]
    # A difference would be there each time.
    assert not all(differ(*calls) for _ in range(3))


def test_a_difference_in_time_would_be_found(bob: Caller) -> None:
    route, unknown = ROUTES[0], str(uuid4())

    def slower() -> None:
        time.sleep(2 * SECONDS)
        ask(bob, route, unknown)

    for calls in ((slower, lambda: ask(bob, route, unknown)), (lambda: ask(bob, route, unknown), slower)):
        assert any(differ(*calls) for _ in range(3))
