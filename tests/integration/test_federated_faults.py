"""The other server is killed while requests run there: all end right, none is left, and none ran twice.

`make test` kills it once while 20 requests run; POLYTOPE_FAULTS=full (`make test-faults`): 200 requests, and
three times.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest
from caller import Caller
from faults import FULL, SEED, CountingSource, staged
from two_servers import configure, federated, pair, running

from testbed.server import StandaloneServer
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured

REQUESTS, KILLS = (200, 3) if FULL else (20, 1)
#: For which the other server's data source works on each.
_SECONDS = 0.1


@pytest.fixture(scope="module")
def source() -> Iterator[CountingSource]:
    with CountingSource(_SECONDS).serving() as source:
        yield source


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, source: CountingSource
) -> Iterator[tuple[StandaloneServer, StandaloneServer]]:
    here, there = pair(tmp_path_factory.mktemp("servers"))
    workers = {"concurrency": 4, "lease": 2, "retry_delay": 0.05}
    sources = {"slow": federated(there, "slow"), "dummies": federated(there, "dummy", timeout=5)}
    configure(here, sources, worker=workers)
    slow = {"type": "http", "url": source.url, "timeout": 30}
    # What an attempt had staged whose worker was killed the collector removes.
    collector = {"garbage-collector": {"interval": 1, "orphan_age": 0, "orphan_share": 1}}
    busy = {"worker": {**workers, "max_attempts": 10}, "broker": {"interval": 2}}
    configure(there, {"slow": slow}, **busy, **collector)
    with running(here, there):
        yield here, there


def test_all_requests_end_right_while_the_other_server_is_killed(
    servers: tuple[StandaloneServer, StandaloneServer],
) -> None:
    here, there = servers
    chance = random.Random(f"{SEED} federated")
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    alice = Caller(here)
    # Given requests that are on their way
    expected = {
        alice.submit("slow", text): text for text in (f"request-{number}" for number in range(REQUESTS))
    }

    def ended() -> int:
        documents = alice.get("/requests").json()["message"]
        return sum(document["status"] in ("processed", "failed") for document in documents)

    # When the other server is killed with all its processes, and started again
    for share in sorted(chance.random() * 0.8 for _ in range(KILLS)):
        until(lambda share=share: ended() >= share * REQUESTS, 300)  # type: ignore[misc]
        there.kill()
        there.start()
    # Then each has the result of its own text, at the first attempt
    results = {request_id: here.result(alice.session, request_id).decode() for request_id in expected}
    assert results == expected
    text = here.log.read_text()
    assert "attempt 1 failed" not in text, text[-3000:]
    # And nothing is left there, nor of what removes it
    until(lambda: Caller(there).get("/requests").json()["message"] == [])
    until(lambda: staged(there) == set())
    until(lambda: not here.processes("upstream guard"))


def test_of_a_server_that_was_killed_nothing_is_left_at_the_other_one(
    servers: tuple[StandaloneServer, StandaloneServer],
) -> None:
    here, there = servers
    alice = Caller(here)
    expected = {alice.submit("slow", text): text for text in (f"again-{number}" for number in range(12))}
    until(lambda: len(Caller(there).get("/requests").json()["message"]) >= 2)
    here.kill()
    here.start()
    results = {request_id: here.result(alice.session, request_id).decode() for request_id in expected}
    assert results == expected
    until(lambda: Caller(there).get("/requests").json()["message"] == [])


def test_a_download_goes_on_after_the_other_server_was_killed(
    servers: tuple[StandaloneServer, StandaloneServer],
) -> None:
    here, there = servers
    alice = Caller(here)
    # So large that it is on its way for a while; a smaller one may have arrived before
    size = 400_000_000 if FULL else 60_000_000
    request_id = alice.submit("dummies", str(size))

    def receives() -> bool:
        unfinished = here.data / "staging" / "unfinished"
        return any(file.stat().st_size > 0 for file in unfinished.rglob("*") if file.is_file())

    until(receives)
    there.kill()
    there.start()
    ended = alice.end_of(request_id)
    assert ended.status_code == 303, ended.text
    assert not FULL or "the result broke off" in here.log.read_text()
    data = alice.get(ended.headers["Location"].removeprefix("..")).content
    assert hashlib.md5(data).hexdigest() == hashlib.md5(b"x" * size).hexdigest()
