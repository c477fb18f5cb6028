"""What real processes count, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from gate import Gate
from prometheus_client.parser import text_string_to_metric_families
from test_management import PROCESSES, Ports, all_ready

from testbed.server import PASSWORD, USER, StandaloneServer, free_port
from testbed.waiting import until

ROUTE = "/api/v1/requests/{name}"


class Figures:
    """The metrics of one process."""

    def __init__(self, ports: Ports, name: str) -> None:
        answer = ports.ask(name, "metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        self.text = answer.text
        self.families = list(text_string_to_metric_families(self.text))

    def __call__(self, sample: str, **labels: str) -> float | None:
        """The value of a sample with exactly these labels; None if there is none."""
        for family in self.families:
            for found in family.samples:
                if found.name == f"polytope_{sample}" and found.labels == labels:
                    return found.value
        return None

    def total(self, sample: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels, and maybe others."""
        return sum(
            found.value
            for family in self.families
            for found in family.samples
            if found.name == f"polytope_{sample}" and labels.items() <= found.labels.items()
        )


def start(data: Path, ports: Ports, config: Mapping[str, Any]) -> StandaloneServer:
    return StandaloneServer(data, ports.sections(config))


def test_each_process_tells_what_it_did(tmp_path: Path) -> None:
    ports = Ports(*PROCESSES)
    config = {
        "garbage-collector": {"interval": 0.2, "orphan_age": 0},
        "metrics": {"request_duration_buckets": [1, 60]},
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("dummy", "raise")
        },
    }
    with start(tmp_path / "data", ports, config) as server:
        until(all_ready(ports))
        session = server.session()
        done = server.poll(session, server.submit(session, "dummy", 1000))
        assert len(server.download(server.link(done))) == 1000
        assert server.poll(session, server.submit(session, "raise", "x")).status_code == 400
        url = f"{server.url}/requests/dummy"
        assert session.post(url, json={"verb": "steal", "request": 1}, timeout=60).status_code == 400

        frontend = Figures(ports, "frontend")
        assert frontend("requests_submitted_total", collection="dummy", outcome="accepted") == 1
        assert frontend("requests_submitted_total", collection="dummy", outcome="refused") == 1
        assert frontend("requests_submitted_total", collection="raise", outcome="accepted") == 1
        assert frontend("served_bytes_total") == 1000
        assert frontend("http_requests_total", method="POST", route=ROUTE, status="2xx") == 2
        assert frontend("http_requests_total", method="GET", route=ROUTE, status="3xx") == 1
        calls = frontend.total("http_requests_total", method="GET", route=ROUTE)
        assert frontend("http_request_duration_seconds_count", method="GET", route=ROUTE) == calls

        worker = Figures(ports, "worker")
        assert worker("attempts_total", collection="dummy", outcome="processed") == 1
        assert worker("attempts_total", collection="raise", outcome="failed") == 1
        assert worker("requests_finished_total", collection="dummy", outcome="processed") == 1
        assert worker("requests_finished_total", collection="raise", outcome="failed") == 1
        assert worker("staged_bytes_total", collection="dummy") == 1000
        assert worker("request_duration_seconds_count", collection="dummy") == 1
        assert worker("request_duration_seconds_bucket", collection="dummy", le="60.0") == 1
        assert worker("request_duration_seconds_bucket", collection="dummy", le="5.0") is None
        until(lambda: Figures(ports, "worker")("worker_slots", state="free") == 4)

        orphan = tmp_path / "data" / "staging" / "objects" / "nobody" / f"{'0' * 32}.bin"
        orphan.parent.mkdir()
        orphan.write_bytes(b"x" * 500)
        until(lambda: Figures(ports, "garbage-collector")("garbage_objects_removed_total") == 1)
        until(lambda: Figures(ports, "garbage-collector")("staging_bytes") == 1000)
        collector = Figures(ports, "garbage-collector")
        assert collector("garbage_bytes_removed_total") == 500
        assert time.time() - 60 < (collector("garbage_last_success_timestamp_seconds") or 0) <= time.time()

        for name in ports.of:
            text = Figures(ports, name).text
            assert USER not in text
            assert PASSWORD not in text
            assert done.request.url.rpartition("/")[2] not in text


def test_the_broker_tells_what_waits_and_runs(tmp_path: Path, gate: Gate) -> None:
    ports = Ports("broker", "worker", "frontend")
    config = {
        "datasources": {"gate": {"type": "http", "url": gate.url, "timeout": 120}},
        "collections": {
            "gate": {"roles": {"test": ["default"]}, "datasources": ["gate"], "limits": {"total": 1}}
        },
    }
    with start(tmp_path / "data", ports, config) as server:
        until(all_ready(ports))
        session = server.session()
        first = server.submit(session, "gate", "hold the first")
        gate.wait_for("hold the first")
        second = server.submit(session, "gate", "the second")
        until(lambda: Figures(ports, "broker")("requests_waiting", collection="gate") == 1)
        until(lambda: Figures(ports, "broker")("requests_running", collection="gate") == 1)
        figures = Figures(ports, "broker")
        assert figures("broker_leads") == 1
        assert figures("requests_queued", collection="gate") == 0
        assert Figures(ports, "worker")("worker_slots", state="busy") == 1
        assert session.delete(f"{server.url}/requests/{second}", timeout=60).status_code == 200
        assert Figures(ports, "frontend")("requests_revoked_total", collection="gate") == 1
        gate.release("hold the first")
        server.result(session, first)
        until(lambda: Figures(ports, "broker").total("requests_running") == 0)
        assert Figures(ports, "broker").total("requests_waiting") == 0


def test_worker_processes_of_a_frontend_count_together(tmp_path: Path) -> None:
    ports = Ports("frontend")
    with start(tmp_path / "data", ports, {"frontend": {"workers": 2}}) as server:
        until(all_ready(ports))

        def call(_: int) -> int:
            # A connection of its own, so that both get some.
            return requests.get(f"{server.url}/test", timeout=60).status_code

        counted = {"method": "GET", "route": "/api/v1/test", "status": "2xx"}
        before = Figures(ports, "frontend").total("http_requests_total", **counted)
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(call, range(200))) == {200}
        # Whichever of them answers.
        for _ in range(10):
            assert Figures(ports, "frontend")("http_requests_total", **counted) == before + 200
        assert (
            len([line for line in Figures(ports, "frontend").text.splitlines() if "build_info{" in line]) == 1
        )

        # One that dies takes nothing with it.
        _, *workers = server.processes("frontend")
        victim, other = workers
        victim.kill()
        psutil.wait_procs([victim], timeout=30)
        until(lambda: len(server.processes("frontend")) == 3)
        until(all_ready(ports))
        assert Figures(ports, "frontend").total("http_requests_total", **counted) >= before + 200
        assert other.is_running()


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_that_a_caller_makes_up_becomes_a_label(tmp_path: Path, workers: int) -> None:
    ports = Ports("frontend")
    with start(tmp_path / "data", ports, {"frontend": {"workers": workers}}) as server:
        until(all_ready(ports))
        session = server.session()
        for path in ("/requests/made-up", "/made-up", "/downloads/made-up/made-up", "/uploads/made-up"):
            for method in ("GET", "POST", "DELETE", "MADEUP"):
                session.request(method, f"{server.url}{path}", json={}, timeout=60)
        text = Figures(ports, "frontend").text.lower()
        assert "made-up" not in text
        assert "madeup" not in text
        assert 'route="other"' in text


def test_calls_that_a_back_end_could_not_answer_are_counted(tmp_path: Path) -> None:
    ports = Ports("frontend")
    # Not to be started on this machine, as which the name stands for.
    staging = {"polytope": {"host": "127.0.0.2", "port": free_port(), "token": "x" * 16}}
    with start(tmp_path / "data", ports, {"staging": staging}) as server:
        until(lambda: unready(ports))
        assert list(ports.why("frontend")) == ["staging"]
        assert (Figures(ports, "frontend")("backend_errors_total", role="staging") or 0) >= 1
        assert server.alive()


def unready(ports: Ports) -> bool:
    try:
        return ports.ask("frontend", "readyz").status_code == 503
    except requests.ConnectionError:
        return False
