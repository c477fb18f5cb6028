"""Ordinary users beside abusers: what the ones notice of the others, against a bare Falcon application.

Server and floor get the same calls of the same people, and answer with as many bytes. The floor stores
nothing, checks no credential, and fills no disk.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks import floor_abuse, load, ordinary
from benchmarks.abusers import Targets
from benchmarks.figure import MIB, Figure, Peaks, Plan, Target
from benchmarks.floor import BareServer
from polytope_server.settings.frontend import FrontendSettings
from polytope_server.staging.local import LocalStagingSettings
from testbed.server import CONFIG, StandaloneServer

_ABUSER = "mallory"
_DATED = 10
#: What results may fill before the reserve of free space begins.
_ROOM = 2048 * MIB
#: A result that is downloaded and never read.
_RESULT = 8 * MIB
#: MiB by which the frontend's memory may grow.
_MEMORY = 256


@dataclass(frozen=True)
class Bench:
    """The server with what the abusers need, and the bare application with the like."""

    plan: Plan
    server: StandaloneServer
    targets: Targets
    bare: BareServer
    bare_targets: Targets


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """Both servers, with all their files below `folder`."""
    (folder / "abuse").mkdir()
    file = folder / "abuse" / "result"
    file.write_bytes(bytes(_RESULT))
    with (
        BareServer(folder / "abuse" / "bare", {floor_abuse.LISTED: str(plan.listed)}) as bare,
        StandaloneServer(folder / "abuse" / "server", _config(plan, folder)) as server,
    ):
        link = bare.link(file)
        bare_targets = Targets(bare.port, _ABUSER, link, ["/api/v1/uploads/x"] * 2, endless=_endless())
        yield Bench(plan, server, _prepared(plan, server), bare, bare_targets)


def _users(plan: Plan) -> list[str]:
    return [f"user{number}" for number in range(plan.users)]


def _config(plan: Plan, folder: Path) -> dict[str, Any]:
    """Defaults wherever there are some; times are short, so that what they bound is seen to end."""
    everybody = {"roles": {"test": ["default"]}}
    people = [{"uid": name, "password": f"{name}'s password"} for name in (*_users(plan), _ABUSER)]
    short = {"connections": {"head-time": 3, "rate-time": 5}}
    config: dict[str, Any] = {
        "frontend": {key: value for key, value in short.items() if key in FrontendSettings.model_fields},
        "worker": {"concurrency": 4},
        "authentication": {
            "test": {
                "authenticators": {"plain": {"type": "plain", "clear_text": True, "users": people}},
                "authorizers": {},
            }
        },
        "datasources": {
            **CONFIG["datasources"],
            **{f"dated{n}": {"type": "echo", "match": {"date": f">{30 + n}d"}} for n in range(_DATED)},
        },
        "collections": {
            "echo": {**everybody, "datasources": ["echo"]},
            "dummy": {**everybody, "datasources": ["dummy"], "limits": {"per-user": 1}},
            "dated": {**everybody, "datasources": [f"dated{n}" for n in range(_DATED)]},
            "held": {**everybody, "datasources": ["echo"], "limits": {"total": 0}},
        },
    }
    if _endless():
        disk = os.statvfs(folder)
        config["staging"] = {"local": {"reserve": max(0, disk.f_bavail * disk.f_frsize - _ROOM)}}
    return config


def _endless() -> bool:
    """Whether a result may be asked for that fills the disk: only where staging keeps a reserve free."""
    return "reserve" in LocalStagingSettings.model_fields


def _prepared(plan: Plan, server: StandaloneServer) -> Targets:
    """A result, uploads that are waited for, and many requests with long texts, all of the abuser."""
    session = server.session(_ABUSER)
    result = server.poll(session, server.submit(session, "dummy", _RESULT))
    uploads = [server.submit(session, "echo", "x", "archive") for _ in range(2)]
    for _ in range(plan.listed):
        server.submit(session, "held", "x" * floor_abuse.TEXT)
    link = f"/api/v1/{result.headers['Location'].removeprefix('../')}"
    return Targets(server.port, _ABUSER, link, [f"/api/v1/uploads/{name}" for name in uploads], _endless())


@contextmanager
def _abusers(targets: Targets) -> Iterator[None]:
    """Abusers in a process of their own, from the time when they have what they want to its end."""
    command = [sys.executable, "-m", "benchmarks.abusers", targets.to_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise load.LoadError("the abusers did not begin")
            yield
        finally:
            process.kill()


@dataclass
class _Found:
    """What was measured, round by round."""

    medians: list[float]
    slow: list[float]
    failed: int = 0
    restarts: int = 0
    growth: float = 0.0

    def add(self, seen: ordinary.Seen) -> None:
        """The times of one more round, in ms."""
        times = [seconds * 1000 for seconds in seen.times]
        self.medians.append(statistics.median(times))
        self.slow.append(statistics.quantiles(times, n=20)[-1])
        self.failed += seen.failed


def _round(plan: Plan, targets: Targets) -> ordinary.Seen:
    with _abusers(targets):
        return _use(plan, targets)


def _use(plan: Plan, targets: Targets) -> ordinary.Seen:
    seen = uvloop.run(ordinary.use(targets.port, _users(plan), plan.abuse))
    if len(seen.times) < 2:
        raise load.LoadError(f"ordinary users got no answers, and {seen.failed} errors: {seen.reasons}")
    return seen


def _server_round(run: Bench, found: _Found) -> None:
    before = run.server.processes("frontend")
    peaks = Peaks(before)
    found.add(_round(run.plan, run.targets))
    # A process that is there no more, and none more than before at the end: its place was taken.
    found.restarts += sum(not process.is_running() for process in before)
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        found.growth = max(found.growth, peaks.growth())


def beside_abusers(run: Bench) -> list[Figure]:
    """What ordinary users wait for an answer, what they lose, and what the frontend needs for that."""
    bare, server, alone = _Found([], []), _Found([], []), _Found([], [])
    for _ in range(min(run.plan.rounds, 3)):
        alone.add(_use(run.plan, run.targets))
        bare.add(_round(run.plan, run.bare_targets))
        _server_round(run, server)
    floor = "the same people, bare Falcon"
    none = Target(0, at_least=False)
    people = f"{run.plan.users} ordinary users"
    where = f"{people} beside abusers"
    return [
        Figure(f"{people} alone: median time of a call", "ms", alone.medians, [], "none"),
        Figure(
            f"{where}: median time of a call",
            "ms",
            server.medians,
            bare.medians,
            floor,
            Target(2, of_ratio=True, at_least=False),
        ),
        Figure(f"{where}: 95 % of calls", "ms", server.slow, bare.slow, floor),
        Figure(f"{where}: calls that failed", "calls", [server.failed], [], "none", none),
        Figure(f"{where}: frontend restarts", "restarts", [server.restarts], [], "none", none),
        Figure(
            f"{where}: growth of the frontend",
            "MiB",
            [server.growth],
            [],
            "none",
            Target(_MEMORY, at_least=False),
        ),
    ]


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (beside_abusers,)
