"""The standalone server that is measured, its floors, and a request from its submission to its last byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load, polling
from benchmarks.figure import Plan, alternate
from benchmarks.floor import TINY, BareServer, Inserts
from testbed.server import CONFIG, PASSWORD, USER, StandaloneServer, basic

API = "/api/v1"
AUTH = basic(USER, PASSWORD)
_SUBMIT = load.message("POST", f"{API}/requests/echo", AUTH, {"verb": "retrieve", "request": TINY.decode()})

#: The demonstration sources, and one collection that holds what it is given.
SERVER_CONFIG: dict[str, Any] = {
    # As many children as by default: the tests' configuration has fewer.
    "worker": {},
    "collections": {
        **CONFIG["collections"],
        polling.HELD: {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
    },
}


@dataclass(frozen=True)
class Bench:
    """What is measured, and what it is measured against."""

    plan: Plan
    server: StandaloneServer
    bare: BareServer
    inserts: Inserts

    def round(self, most: int = 1_000_000) -> load.Round:
        """A round as long as the plan says."""
        return load.Round(self.plan.seconds, most)

    def alternate(
        self, floor: Callable[[], float], measure: Callable[[], float]
    ) -> tuple[list[float], list[float]]:
        """Floors and values of all rounds."""
        return alternate(self.plan, floor, measure)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """A server and its floors, with all their files below `folder`."""
    inserts = Inserts(folder / "inserts")
    try:
        with (
            BareServer(folder / "bare") as bare,
            StandaloneServer(folder / "server", SERVER_CONFIG) as server,
        ):
            complete_one(server)
            yield Bench(plan, server, bare, inserts)
    finally:
        inserts.close()


def complete_one(server: StandaloneServer) -> None:
    """One request from its submission to its last byte, after which all processes have started."""
    round_ = load.Round(60.0, most=1)
    load.run(server.port, round_, [complete(round_)])


def complete(round_: load.Round) -> load.Session:
    """Submit, poll (held by the server) and download; the next request when all bytes are there."""
    while round_.more():
        started = time.perf_counter()
        submitted = load.check((yield _SUBMIT), 202)
        place = yield from processed(load.request_id(submitted))
        result = load.check((yield load.message("GET", place)), 200)
        if result.body != TINY:
            raise load.LoadError(f"the result is {result.body[:100]!r} instead of {TINY!r}")
        round_.done(time.perf_counter() - started)


def processed(request_id: str) -> Generator[bytes, load.Reply, str]:
    """Poll until the request has ended; returns the path of its result."""
    poll = load.message("GET", f"{API}/requests/{request_id}", AUTH)
    while (reply := (yield poll)).status == 202:
        pass
    location = load.check(reply, 303).header(b"location").decode()
    return f"{API}/{location.removeprefix('../')}"
