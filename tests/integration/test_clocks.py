"""Machines whose clocks are 20 s apart: no request fails, and none is fetched twice.

`make test` has leases of 6 s; `make test-faults` sets POLYTOPE_FAULTS=full: those of the default, 15 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults import FULL, CountingSource
from fleet import Batch, Fleet, config, wrong_clock

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

MONGODB, POSTGRESQL = "mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"
LEASE, WORK = (15.0, 40.0) if FULL else (6.0, 8.0)
SHORT = [("worker", MONGODB), ("broker", POSTGRESQL)]
CASES = [*SHORT, ("worker", POSTGRESQL), ("broker", MONGODB)] if FULL else SHORT
#: Seconds by which a clock is wrong: more than a lease of 15 s.
WRONG = 20


@pytest.mark.parametrize(("wrong", "stack"), CASES)
def test_clocks_that_differ_take_nothing_away(stacks: Stacks, tmp_path: Path, stack: str, wrong: str) -> None:
    """Of two processes of a kind, one is ahead and one is behind."""
    clocks = [wrong_clock(tmp_path / "clock.so", seconds) for seconds in (WRONG, -WRONG)]
    with CountingSource(WORK).serving() as source:
        server = stacks.server(stack, tmp_path / "data", config(source, LEASE))
        with Fleet(server) as fleet:
            if stack == POSTGRESQL:
                fleet.start("object-store")
            fleet.start("frontend", clock=clocks[1])
            brokers = [fleet.start("broker", clock=one if wrong == "broker" else None) for one in clocks]
            for one in clocks:
                fleet.start("worker", clock=one if wrong == "worker" else None)
            fleet.wait()
            batch = Batch(server, source)
            batch.submit(8)
            batch.run()
            brokers[0].kill()  # if it led, the other one takes over
            batch.check()
            assert "s ahead of that of the request store" in fleet.log()
            assert "s behind that of the request store" in fleet.log()
