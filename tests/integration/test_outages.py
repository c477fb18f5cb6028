"""Each outside server is killed and started again while requests run: none is lost, none has two results.

`make test` has 40 requests for each outage; `make test-faults` sets POLYTOPE_FAULTS=full: 200, more rounds.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from faults import FULL, REQUESTS, ROUNDS, SEED, Batch, config, slow_source

from testbed.server import StandaloneServer
from testbed.services import MongoDB, RabbitMQ, Service
from testbed.waiting import until

if TYPE_CHECKING:
    from conftest import Stacks

    Background = Callable[..., Future[Any]]

pytestmark = pytest.mark.unmeasured

MONGODB, POSTGRESQL = "mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"
#: By stack, the servers to kill, by the names of their fixtures. In the short form those that keep something.
SHORT = [(MONGODB, "mongodb"), (MONGODB, "rabbitmq"), (MONGODB, "s3"), (POSTGRESQL, "postgresql")]
OTHERS = [(MONGODB, "redis_server"), (POSTGRESQL, "rabbitmq"), (POSTGRESQL, "memcached")]
KILLED = [*SHORT, *OTHERS] if FULL else SHORT
#: How long a server that was killed stays away.
ABSENCE = 2.0
#: So soon after its return everything must work again.
RECOVERY = 10.0


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with slow_source() as url:
        yield url


@pytest.fixture(scope="module")
def start(
    stacks: Stacks, source: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], StandaloneServer]]:
    """Starts a server on a stack, once for all the tests that name it."""
    started: dict[str, StandaloneServer] = {}

    def get(name: str) -> StandaloneServer:
        if name not in started:
            server = stacks.server(name, tmp_path_factory.mktemp("outages") / "data", config(source))
            server.start()
            started[name] = server
        return started[name]

    yield get
    for server in started.values():
        server.stop()


def outage(
    server: StandaloneServer, seed: str, begin: Callable[[], object], end: Callable[[], object] = lambda: None
) -> None:
    """Something happens while requests run, and ends; meanwhile requests are submitted."""
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    share = random.Random(f"{SEED} {seed}").random() * 0.6
    batch = Batch(server)
    batch.submit()
    until(lambda: batch.processed() >= share * REQUESTS)
    over = threading.Event()

    def submit() -> None:
        while not over.wait(0.05):
            batch.try_one()

    submitting = threading.Thread(target=submit)
    submitting.start()
    try:
        begin()
        threading.Event().wait(ABSENCE)
        end()
    finally:
        over.set()
        submitting.join()
    before = batch.processed()
    # Everything has found each other again when the next request is done.
    until(lambda: batch.processed() >= min(before + 1, len(batch.expected)), RECOVERY)
    batch.check()


@pytest.mark.parametrize(("stack", "name"), KILLED)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_killed_server_loses_nothing(
    start: Callable[[str], StandaloneServer], stacks: Stacks, stack: str, name: str, round_: int
) -> None:
    service = stacks.services(stack)[name]
    outage(start(stack), f"{stack} {name} {round_}", service.kill, service.start)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_killed_object_store_loses_nothing(start: Callable[[str], StandaloneServer], round_: int) -> None:
    server = start(POSTGRESQL)

    def kill() -> None:
        victims = server.processes("object-store")
        for victim in victims:
            victim.kill()
        psutil.wait_procs(victims, timeout=60)

    outage(server, f"object store {round_}", kill)
    until(lambda: server.processes("object-store"))


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_purged_queue_loses_nothing(
    start: Callable[[str], StandaloneServer], rabbitmq: RabbitMQ, round_: int
) -> None:
    server = start(MONGODB)
    queue = server.config["queue"]["rabbitmq"]["name"]
    outage(server, f"purge {round_}", lambda: rabbitmq.control("purge_queue", queue))


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_primary_that_steps_down_loses_nothing(
    stacks: Stacks, source: str, tmp_path: Path, round_: int
) -> None:
    with MongoDB(tmp_path, members=3) as mongodb:
        services: dict[str, Service] = {"mongodb": mongodb}
        with stacks.server(MONGODB, tmp_path / "data", config(source), services) as server:
            outage(server, f"step-down {round_}", mongodb.step_down)
