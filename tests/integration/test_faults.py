"""Kill -9 at any moment: no request is lost, none has two results, nothing is left over.

`make test` kills each kind of process a few times while 40 requests run; `make test-faults` sets
POLYTOPE_FAULTS=full: 200 requests, and several rounds at moments that a seed decides.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from faults import REQUESTS, ROUNDS, SEED, Batch, config, slow_source, staged

from testbed.server import StandaloneServer
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with slow_source() as url:
        yield url


@pytest.fixture
def server(tmp_path: Path, source: str) -> Iterator[StandaloneServer]:
    with StandaloneServer(tmp_path / "data", config(source)) as server:
        yield server


@pytest.fixture
def batch(server: StandaloneServer) -> Batch:
    return Batch(server)


@pytest.mark.parametrize(
    "kind", ["frontend", "broker", "worker", "garbage-collector", "fork server", "data source"]
)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_killed_process_loses_nothing(
    server: StandaloneServer, batch: Batch, kind: str, round_: int
) -> None:
    chance = random.Random(f"{SEED} {kind} {round_}")
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    batch.submit()
    for share in sorted(chance.random() * 0.9 for _ in range(2)):
        until(lambda share=share: server.alive() and batch.processed() >= share * REQUESTS)  # type: ignore[misc]
        until(lambda: server.processes(kind))
        victim = chance.choice(server.processes(kind))
        victim.kill()
        psutil.wait_procs([victim], timeout=60)
    batch.check()
    # A child that ended while it was idle is replaced when it is needed, and so is what forks it.
    batch.submit(1)
    batch.check()
    until(lambda: server.processes(kind))


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_all_end_with_a_killed_supervisor_and_the_next_start_goes_on(
    server: StandaloneServer, batch: Batch, round_: int
) -> None:
    chance = random.Random(f"{SEED} supervisor {round_}")
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    batch.submit()
    until(lambda: batch.processed() >= chance.random() * 0.5 * REQUESTS)
    everything = server.all_processes()
    server.kill()
    until(lambda: not any(process.is_running() for process in everything))
    server.start()
    batch.check()


def test_stopping_in_good_order_leaves_no_process_and_no_half_written_file(
    server: StandaloneServer, batch: Batch
) -> None:
    batch.submit(20)
    everything = server.all_processes()
    assert server.stop() == 0
    assert not any(process.is_running() for process in everything)
    assert not list((server.data / "staging" / "unfinished").iterdir())
    server.start()
    batch.check()


def test_a_stopped_worker_loses_its_lease_and_cannot_bring_it_back(
    server: StandaloneServer, batch: Batch
) -> None:
    """A worker that sleeps past its lease wakes up with a result that is no longer wanted."""
    workers = server.processes("worker")

    def suspend_at_work() -> bool:
        batch.submit(20)
        for process in workers:
            process.suspend()
        at_work = any(document["status"] == "processing" for document in batch.documents())
        if at_work and batch.try_one() == 202:
            return True
        for process in workers:  # all was done before, or it stopped with the lock of the database
            process.resume()
        return False

    until(suspend_at_work)
    until(lambda: "the lease of worker" in server.log.read_text())
    for process in workers:
        process.resume()
    batch.check()


def test_revoked_requests_stop_and_leave_nothing(server: StandaloneServer, batch: Batch) -> None:
    session = server.session()
    batch.submit(40)
    until(lambda: batch.processed() >= 3)
    answer = session.delete(f"{server.url}/requests/all", timeout=60)
    assert answer.status_code == 200
    documents = session.get(f"{server.url}/requests", timeout=60).json()["message"]
    assert {document["status"] for document in documents} == {"processed"}
    for document in documents:
        session.delete(f"{server.url}/requests/{document['id']}", timeout=60)
    until(lambda: staged(server) == set())
    assert session.get(f"{server.url}/user", timeout=60).json() == {"live requests": "0"}
    late = server.submit(session, "slow", "still works")
    assert server.result(session, late) == b"still works"


def test_two_servers_do_not_share_a_data_folder(server: StandaloneServer) -> None:
    second = StandaloneServer(server.data)
    with pytest.raises(RuntimeError, match="another server runs on the data folder"):
        second.start()
    assert server.alive()
