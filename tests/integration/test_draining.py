"""Processes that are to stop: unready at once, alive to the end, and nothing that runs is broken off."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from gate import Gate
from test_management import Ports, all_ready

from testbed.server import StandaloneServer, basic
from testbed.waiting import until

#: More than sockets and servers hold for a client that does not read.
SIZE = 64 << 20


def gated(gate: Gate) -> dict[str, Any]:
    """A data source that waits for a request's release, and one that makes bytes."""
    return {
        "datasources": {
            "gate": {"type": "http", "url": gate.url, "timeout": 120, "archive": True},
            "dummy": {"type": "dummy"},
        },
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("gate", "dummy")
        },
    }


def start(data: Path, ports: Ports, config: Mapping[str, Any]) -> StandaloneServer:
    return StandaloneServer(data, ports.sections(config))


def tell(server: StandaloneServer, name: str) -> psutil.Process:
    """Tell a process to stop, as an orchestrator does."""
    process = server.processes(name)[0]
    process.send_signal(signal.SIGTERM)
    return process


def check_draining(ports: Ports, name: str) -> None:
    """It says so, for as long as something runs."""
    until(lambda: not ports.ready(name), 10)
    found = ports.ask(name, "readyz")
    assert found.status_code == 503
    assert found.json()["draining"]
    assert not ports.why(name)
    assert ports.ask(name, "livez").status_code == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_a_frontend_finishes_what_runs_and_lets_polls_go(tmp_path: Path, gate: Gate, workers: int) -> None:
    ports = Ports("frontend")
    config = {**gated(gate), "frontend": {"workers": workers, "poll_wait": 120}}
    held = f"hold {workers} for a frontend"
    with start(tmp_path / "data", ports, config) as server, ThreadPoolExecutor(2) as threads:
        until(all_ready(ports))
        session = server.session()
        link = server.link(server.poll(session, server.submit(session, "dummy", SIZE)))
        upload = server.submit(session, "gate", "an upload", "archive")
        request = server.submit(session, "gate", held)
        gate.wait_for(held)

        poll = threads.submit(server.session().get, f"{server.url}/requests/{request}", timeout=60)
        go_on = threading.Event()
        uploaded = threads.submit(send, server, upload, go_on)
        with requests.get(link, stream=True, timeout=60) as download:
            until(lambda: len(connections(server)) >= 3)
            process = tell(server, "frontend")
            # At once, though it may be held for two minutes.
            assert poll.result(timeout=20).status_code == 202
            check_draining(ports, "frontend")
            go_on.set()
            assert uploaded.result(timeout=30).status_code == 202
            assert ports.ask("frontend", "readyz").status_code == 503
            assert len(download.content) == SIZE
        process.wait(timeout=30)
        gate.release(held)
        until(all_ready(ports))  # its supervisor has started another
        assert server.result(server.session(), request) == held.encode()


def send(server: StandaloneServer, request_id: str, go_on: threading.Event) -> requests.Response:
    """Upload in two parts."""
    parts = [b"x" * 1000, b"y" * 1000]

    def body() -> Iterator[bytes]:
        yield parts[0]
        assert go_on.wait(60)
        yield parts[1]

    checksum = hashlib.md5(b"".join(parts)).hexdigest()
    headers = {**basic("alice", "alice's password"), "X-Checksum": checksum}
    url = f"{server.url}/uploads/{request_id}"
    return requests.post(url, data=body(), headers=headers, timeout=60)


def connections(server: StandaloneServer) -> list[Any]:
    """Those of the clients that a frontend serves now."""
    return [
        found
        for process in server.processes("frontend")
        for found in process.net_connections("tcp")
        if found.status == psutil.CONN_ESTABLISHED and found.laddr.port == server.port
    ]


def test_a_worker_finishes_what_runs_and_claims_nothing_new(tmp_path: Path, gate: Gate) -> None:
    ports = Ports("worker")
    with start(tmp_path / "data", ports, {**gated(gate), "worker": {"grace": 60}}) as server:
        until(all_ready(ports))
        session = server.session()
        first = server.submit(session, "gate", "hold for a worker")
        gate.wait_for("hold for a worker")
        process = tell(server, "worker")
        check_draining(ports, "worker")
        second = server.submit(session, "gate", "claimed by the next worker")
        answer = session.get(f"{server.url}/requests/{second}", headers={"Prefer": "wait=1"}, timeout=60)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        assert ports.ask("worker", "livez").status_code == 200
        gate.release("hold for a worker")
        process.wait(timeout=30)
        assert server.result(session, first) == b"hold for a worker"
        assert server.result(session, second) == b"claimed by the next worker"


def test_what_takes_longer_than_the_grace_is_another_workers(tmp_path: Path, gate: Gate) -> None:
    ports = Ports("worker")
    config = {**gated(gate), "worker": {"grace": 0.5, "lease": 60, "max_attempts": 1}}
    with start(tmp_path / "data", ports, config) as server:
        until(all_ready(ports))
        session = server.session()
        request = server.submit(session, "gate", "hold beyond the grace")
        gate.wait_for("hold beyond the grace")
        tell(server, "worker").wait(timeout=30)
        gate.release("hold beyond the grace")
        # Neither after the lease of the first, nor as a second failure of one that may not have any.
        began = time.monotonic()
        assert server.result(session, request) == b"hold beyond the grace"
        assert time.monotonic() - began < 50


def test_a_broker_that_stops_leaves_its_lead_to_the_next(tmp_path: Path) -> None:
    ports = Ports("broker")
    with start(tmp_path / "data", ports, {"broker": {"lease": 120}}) as server:
        until(all_ready(ports))
        until(lambda: leads(ports))
        tell(server, "broker").wait(timeout=30)
        until(lambda: leads(ports), 60)
        session = server.session()
        assert server.result(session, server.submit(session, "echo", "x")) == b"x"


def leads(ports: Ports) -> bool:
    try:
        return "polytope_broker_leads 1.0" in ports.ask("broker", "metrics").text
    except requests.ConnectionError:
        return False


def test_a_garbage_collector_stops_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    ports = Ports("garbage-collector")
    store = tmp_path / "data" / "staging" / "objects"
    collector = {"interval": 0.01, "orphan_age": 0, "orphan_share": 1}
    with start(tmp_path / "data", ports, {"garbage-collector": collector}) as server:
        until(all_ready(ports))
        for number in range(2000):
            (store / f"nobody-{number}").mkdir()
            (store / f"nobody-{number}" / f"{'0' * 32}.bin").touch()
        tell(server, "garbage-collector").wait(timeout=10)
        until(lambda: not os.listdir(store))
