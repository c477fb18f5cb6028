"""Polls of requests that stay live, and what it costs that the caller is authenticated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.figure import Figure, Plan, Target, alternate, on
from testbed.server import CONFIG, PASSWORD, USER, StandaloneServer, basic

_REQUESTS = "/api/v1/requests"
_MANY = 16
_ANONYMOUS: Mapping[str, str] = {}
#: The collection whose requests stay live: nothing of it may run.
HELD = "held"
_CONFIG: dict[str, Any] = {
    # As many children as by default: the tests' configuration has fewer.
    "worker": {},
    "authentication": {
        **CONFIG["authentication"],
        "guests": {"authenticators": {"guests": {"type": "anonymous"}}},
    },
    "collections": {
        HELD: {
            "roles": {"test": ["default"], "guests": ["default"]},
            "datasources": ["echo"],
            "limits": {"total": 0},
        }
    },
}


def submission(headers: Mapping[str, str]) -> bytes:
    """The message that submits a request which stays live."""
    return load.message("POST", f"{_REQUESTS}/{HELD}", headers, {"verb": "retrieve", "request": "a: 1"})


def live(port: int, headers: Mapping[str, str], count: int, connections: int = 1) -> list[bytes]:
    """The messages with which the caller polls that many requests, submitted here, without being held."""
    found: list[bytes] = []
    round_, submit = load.Round(60.0, most=count), submission(headers)

    def session() -> load.Session:
        while round_.more():
            request_id = load.request_id(load.check((yield submit), 202))
            found.append(load.message("GET", f"{_REQUESTS}/{request_id}", {**headers, "Prefer": "wait=0"}))

    load.run(port, round_, [session() for _ in range(connections)])
    return found


def rate(port: int, round_: load.Round, polls: list[bytes], connections: int) -> float:
    """How many polls are answered each second."""
    shares = [polls[start::connections] for start in range(connections)]
    return load.rate(port, round_, [load.each(round_, share, 202) for share in shares])


@dataclass(frozen=True)
class Bench:
    """A server that takes callers with and without credentials."""

    plan: Plan
    port: int


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """The server, with all its files below `folder`."""
    with StandaloneServer(folder / "polls", _CONFIG) as server:
        yield Bench(plan, server.port)


def authenticated_polls(run: Bench) -> list[Figure]:
    """Polls with credentials, which the server has verified lately, and the same of an anonymous caller."""
    anonymous, authenticated = (
        partial(_rate, run, live(run.port, headers, run.plan.live, _MANY))
        for headers in (_ANONYMOUS, basic(USER, PASSWORD))
    )
    floors, values = alternate(run.plan, anonymous, authenticated)
    # At most a fifth more for each.
    target = Target(1 / 1.2, of_ratio=True)
    name = f"authenticated polls, {on(_MANY)}"
    return [Figure(name, "/s", values, floors, "the same polls, anonymous", target)]


def _rate(run: Bench, polls: list[bytes]) -> float:
    return rate(run.port, load.Round(run.plan.seconds), polls, _MANY)


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (authenticated_polls,)
