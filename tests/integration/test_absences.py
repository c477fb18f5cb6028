"""MongoDB is away for longer than a lease while attempts run: no request fails, and none is fetched twice.

`make test` has a short lease and absence; `make test-faults` sets POLYTOPE_FAULTS=full: leases of 15 s,
MongoDB is stopped three times for 14 s, and an election takes 12 s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults import FULL, CountingSource
from fleet import Batch, Fleet, config

from testbed.services import MongoDB, Service
from testbed.waiting import until

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

STACK = "mongodb-rabbitmq-s3-redis"
#: Seconds: of a lease, of an absence, of an election, of an attempt.
LEASE, ABSENCE, ELECTION, WORK = (15.0, 14.0, 12.0, 45.0) if FULL else (4.0, 6.0, 6.0, 15.0)
TIMES = 3 if FULL else 1


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def suspend(mongodb: MongoDB) -> None:
    """It is stopped; when it goes on, it does first what it was asked to do before."""
    for number in range(TIMES):
        pause(number * LEASE / 3 + 1)
        mongodb.suspend()
        pause(ABSENCE)
        mongodb.resume()


def restart(mongodb: MongoDB) -> None:
    """It is killed, and started again."""
    pause(1)
    mongodb.kill()
    pause(ABSENCE)
    mongodb.start()


def elect(mongodb: MongoDB) -> None:
    """The primary is killed, and the others notice late."""
    mongodb.kill_primary()


CASES = [
    pytest.param(1, restart, id="killed"),
    *([pytest.param(3, elect, id="election"), pytest.param(1, suspend, id="stopped")] if FULL else []),
]


@pytest.mark.parametrize(("members", "happens"), CASES)
def test_a_store_that_is_away_takes_no_running_attempt_away(
    stacks: Stacks, tmp_path: Path, members: int, happens: Callable[[MongoDB], None]
) -> None:
    with (
        MongoDB(tmp_path, members=members, election=ELECTION) as mongodb,
        CountingSource(WORK + (TIMES - 1) * ABSENCE).serving() as source,
    ):
        services: dict[str, Service] = {"mongodb": mongodb}
        server = stacks.server(STACK, tmp_path / "data", config(source, LEASE), services)
        with Fleet(server) as fleet:
            for name in ("frontend", "broker", "broker", "worker"):
                fleet.start(name)
            fleet.wait()
            batch = Batch(server, source)
            batch.submit(4)
            batch.run()
            happens(mongodb)
            batch.check()
            assert "the lease of worker" not in fleet.log()
            late = Batch(server, source)
            late.submit(1)
            late.check()


def test_claims_that_a_store_has_made_without_an_answer_cost_nothing(stacks: Stacks, tmp_path: Path) -> None:
    """MongoDB is stopped while requests are submitted, promoted and claimed."""
    with MongoDB(tmp_path) as mongodb, CountingSource(0.2).serving() as source:
        services: dict[str, Service] = {"mongodb": mongodb}
        server = stacks.server(STACK, tmp_path / "data", config(source, LEASE), services)
        with Fleet(server) as fleet:
            for name in ("frontend", "broker", "worker"):
                fleet.start(name)
            fleet.wait()
            batch = Batch(server, source)
            batch.submit(60)
            until(lambda: len(source.asked) >= 5, 120)
            mongodb.suspend()
            pause(ABSENCE)
            mongodb.resume()
            batch.check()
            assert "the lease of worker" not in fleet.log()
