"""Kill -9 at any moment: no request is lost, none has two results, nothing is left over.

`make test` kills each kind of process a few times while 60 requests run; `make test-faults` sets
POLYTOPE_FAULTS=full: 200 requests, and several rounds at moments that a seed decides.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from polytope_server.testing.server import CONFIG, StandaloneServer

FULL = os.environ.get("POLYTOPE_FAULTS") == "full"
REQUESTS = 200 if FULL else 60
ROUNDS = 5 if FULL else 1
SEED = int(os.environ.get("POLYTOPE_FAULTS_SEED", "0")) or random.randrange(10**9)
#: Long enough that all slots are busy most of the time, short enough for many requests.
WORK_SECONDS = 0.05


class SlowSource(BaseHTTPRequestHandler):
    """A data source over HTTP that takes a while, and answers what it was asked for."""

    protocol_version = "HTTP/1.1"
    served: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        threading.Event().wait(WORK_SECONDS)
        self.served.append(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowSource)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # killed clients are the point
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(tmp_path: Path, source: str) -> Iterator[StandaloneServer]:
    config = {
        "worker": {"lease": 2, "retry_delay": 0.05, "max_attempts": 10, "concurrency": 4},
        "garbage-collector": {"interval": 1},
        "broker": {"interval": 2},
        "datasources": {"slow": {"type": "http", "url": source, "timeout": 30}},
        "collections": {"slow": {"roles": {"test": ["default"]}, "datasources": ["slow"]}},
        "logging": CONFIG["logging"],
    }
    with StandaloneServer(tmp_path / "data", config) as server:
        yield server


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def submit_all(server: StandaloneServer, count: int = REQUESTS) -> dict[str, str]:
    """Submit requests; returns what each of them must yield."""
    session = server.session()
    return {server.submit(session, "slow", text): text for text in (f"request-{n}" for n in range(count))}


def processed(server: StandaloneServer) -> int:
    found = server.session().get(f"{server.url}/requests", timeout=60).json()["message"]
    return sum(request["status"] == "processed" for request in found)


def check_all(server: StandaloneServer, expected: dict[str, str]) -> None:
    """Every request is processed, with exactly its one result, and staging holds nothing else."""

    def outcome(request_id: str) -> bytes:
        return server.result(server.session(), request_id)

    with ThreadPoolExecutor(8) as pool:
        results = dict(zip(expected, pool.map(outcome, expected), strict=True))
    # The data source is told the coerced request: a text goes as text.
    assert {key: data.decode() for key, data in results.items()} == expected
    documents = server.session().get(f"{server.url}/requests", timeout=60).json()["message"]
    assert {document["id"] for document in documents} == set(expected)
    urls = {document["url"].removeprefix("./downloads/") for document in documents}
    until(lambda: staged(server) == urls)


def staged(server: StandaloneServer) -> set[str]:
    objects = server.data / "staging" / "objects"
    return {str(path.relative_to(objects)) for path in objects.glob("*/*") if path.suffix != ".meta"}


@pytest.mark.parametrize("kind", ["frontend", "broker", "worker", "garbage-collector", "data source"])
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_killed_process_loses_nothing(server: StandaloneServer, kind: str, round_: int) -> None:
    chance = random.Random(f"{SEED} {kind} {round_}")
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    expected = submit_all(server)
    for share in sorted(chance.random() * 0.9 for _ in range(2)):
        until(lambda share=share: server.alive() and processed(server) >= share * REQUESTS)  # type: ignore[misc]
        until(lambda: server.processes(kind))
        victim = chance.choice(server.processes(kind))
        victim.kill()
        psutil.wait_procs([victim], timeout=60)
    check_all(server, expected)
    until(lambda: server.processes(kind))


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_all_end_with_a_killed_supervisor_and_the_next_start_goes_on(
    server: StandaloneServer, round_: int
) -> None:
    chance = random.Random(f"{SEED} supervisor {round_}")
    print(f"POLYTOPE_FAULTS_SEED={SEED}")
    expected = submit_all(server)
    until(lambda: processed(server) >= chance.random() * 0.5 * REQUESTS)
    everything = server.all_processes()
    server.kill()
    until(lambda: not any(process.is_running() for process in everything))
    server.start()
    check_all(server, expected)


def test_stopping_in_good_order_leaves_no_process_and_no_half_written_file(server: StandaloneServer) -> None:
    expected = submit_all(server, 20)
    everything = server.all_processes()
    assert server.stop() == 0
    assert not any(process.is_running() for process in everything)
    assert not list((server.data / "staging" / "unfinished").iterdir())
    server.start()
    check_all(server, expected)


def test_a_stopped_worker_loses_its_lease_and_cannot_bring_it_back(server: StandaloneServer) -> None:
    """A worker that sleeps past its lease wakes up with a result that is no longer wanted."""
    expected = submit_all(server, 20)
    until(lambda: processed(server) >= 2)
    workers = server.processes("worker")
    for process in workers:
        process.suspend()
    until(lambda: "the lease of worker" in server.log.read_text())
    for process in workers:
        process.resume()
    check_all(server, expected)


def test_revoked_requests_stop_and_leave_nothing(server: StandaloneServer) -> None:
    session = server.session()
    submit_all(server, 40)
    until(lambda: processed(server) >= 3)
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
