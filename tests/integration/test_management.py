"""The management ports of real processes: alive whatever happens, ready when their back-ends answer."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from gate import Gate

from polytope_server.runtime.management import VARIABLE
from testbed.server import CONFIG, StandaloneServer
from testbed.services import MongoDB, RabbitMQ
from testbed.services.service import free_port
from testbed.waiting import until

PROCESSES = ("frontend", "broker", "worker", "garbage-collector")


class Ports:
    """Asks the management ports of a server's processes."""

    def __init__(self, *names: str) -> None:
        self.of = {name: free_port() for name in names}

    def sections(self, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The configuration with these ports."""
        made = dict(config or {})
        for name, port in self.of.items():
            made[name] = {**made.get(name, {}), "management": {"port": port}}
        return made

    def ask(self, name: str, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.of[name]}/{path}", timeout=10)

    def ready(self, name: str) -> bool:
        try:
            return self.ask(name, "readyz").status_code == 200
        except requests.ConnectionError:  # it starts
            return False

    def why(self, name: str) -> dict[str, str]:
        """What is wrong with each back-end."""
        backends = self.ask(name, "readyz").json()["backends"]
        return {role: state["why"] for role, state in backends.items() if not state["ok"]}

    def check_alive(self) -> None:
        for name in self.of:
            started = time.monotonic()
            assert self.ask(name, "livez").text == "ok\n"
            assert time.monotonic() - started < 2


def all_ready(ports: Ports) -> Callable[[], bool]:
    return lambda: all(map(ports.ready, ports.of))


def none_ready(ports: Ports) -> Callable[[], bool]:
    return lambda: not any(map(ports.ready, ports.of))


def test_each_process_with_embedded_back_ends_is_ready(tmp_path: Path) -> None:
    ports = Ports(*PROCESSES)
    with StandaloneServer(tmp_path / "data", ports.sections()):
        until(all_ready(ports))
        ports.check_alive()
        assert not any(ports.why(name) for name in ports.of)


def test_the_object_store_and_those_who_use_it(tmp_path: Path) -> None:
    store, ports = free_port(), Ports("frontend", "worker")
    management = {"port": free_port()}
    staging = {"polytope": {"port": store, "token": secrets.token_hex(16), "management": management}}
    ports.of["object-store"] = management["port"]
    config = {name: keys for name, keys in ports.sections().items() if name != "object-store"}
    with StandaloneServer(tmp_path / "data", {**config, "staging": staging}) as server:
        until(all_ready(ports))
        (tmp_path / "data" / "staging" / "objects").rename(tmp_path / "away")
        until(lambda: not ports.ready("object-store"))
        assert list(ports.why("object-store")) == ["folder"]
        (tmp_path / "away").rename(tmp_path / "data" / "staging" / "objects")
        until(all_ready(ports))
        # Its supervisor would restart it.
        victims = server.processes("object-store")
        for victim in victims:
            victim.suspend()
        until(lambda: not ports.ready("frontend") and not ports.ready("worker"))
        assert list(ports.why("frontend")) == ["staging"]
        for victim in victims:
            victim.resume()
        until(all_ready(ports))


@pytest.fixture
def own_mongodb(tmp_path: Path) -> Iterator[MongoDB]:
    with MongoDB(tmp_path) as service:
        yield service


def each(service: MongoDB, number: int) -> None:
    """Send a signal to a server."""
    for process in (psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children()):
        process.send_signal(number)


def test_a_store_that_is_down_or_stuck_makes_processes_unready_and_lets_them_live(
    tmp_path: Path, own_mongodb: MongoDB, rabbitmq: RabbitMQ
) -> None:
    ports = Ports(*PROCESSES)
    queue = {
        "host": rabbitmq.host, "port": rabbitmq.port, "user": rabbitmq.user, "password": rabbitmq.password,
        "name": f"tests-{secrets.token_hex(4)}",
    }  # fmt: skip
    uri = own_mongodb.uri
    config = {
        "request_store": {"mongodb": {"uri": uri}},
        "metric_store": {"mongodb": {"uri": uri}},
        "queue": {"rabbitmq": queue},
        "logging": {"mode": "console", "level": "CRITICAL"},
    }
    with StandaloneServer(tmp_path / "data", ports.sections(config)):
        until(all_ready(ports))
        for stop, go_on in (
            (own_mongodb.kill, own_mongodb.start),
            (lambda: each(own_mongodb, signal.SIGSTOP), lambda: each(own_mongodb, signal.SIGCONT)),
        ):
            stop()
            until(none_ready(ports), 20)
            for name in ports.of:
                assert "request_store" in ports.why(name)
                assert rabbitmq.password not in str(ports.why(name))
            ports.check_alive()
            go_on()
            until(all_ready(ports), 30)
            ports.check_alive()


def test_a_process_lives_and_waits_while_its_back_ends_have_never_been_there(tmp_path: Path) -> None:
    ports = Ports(*PROCESSES)
    config = {"request_store": {"mongodb": {"uri": f"mongodb://127.0.0.1:{free_port()}"}}}
    server = StandaloneServer(tmp_path / "data", ports.sections(config))
    server.start()
    try:
        for name in ports.of:
            until(lambda name=name: answers(ports, name))  # type: ignore[misc]
            assert ports.ask(name, "readyz").status_code == 503
            assert "request_store" in ports.why(name)
        ports.check_alive()
    finally:
        server.stop()


def answers(ports: Ports, name: str) -> bool:
    try:
        return ports.ask(name, "livez").status_code == 200
    except requests.ConnectionError:
        return False


def test_a_cache_that_is_down_is_told_and_does_no_harm(tmp_path: Path) -> None:
    ports = Ports("frontend")
    config = {"caching": {"memcached": {"port": free_port()}}}
    with StandaloneServer(tmp_path / "data", ports.sections(config)):
        until(all_ready(ports))
        assert list(ports.why("frontend")) == ["caching"]


def test_in_standalone_the_environment_is_for_the_frontend_alone(tmp_path: Path) -> None:
    port = free_port()
    with StandaloneServer(tmp_path / "data", variables={VARIABLE: str(port)}) as server:
        until(lambda: requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200)
        listening = {
            (connection.laddr.port, process.pid)
            for process in server.all_processes()
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        frontends = {process.pid for process in server.processes("frontend")}
        assert {found for found, _ in listening} == {port, server.port}
        assert {pid for _, pid in listening} <= frontends


def test_the_health_check_of_an_image(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "polytope_server", "healthcheck"]
    with StandaloneServer(tmp_path / "data", variables={VARIABLE: str(port)}) as server:
        assert subprocess.run(command, env=server.environment, check=False).returncode == 0
    asked = subprocess.run(command, env=server.environment, check=False, capture_output=True, text=True)
    assert (asked.returncode, asked.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("name", [*PROCESSES, "object-store"])
def test_a_port_that_is_taken_ends_the_start_with_a_clear_error(
    tmp_path: Path, name: str, gate: Gate
) -> None:
    taken = int(gate.url.rpartition(":")[2])
    management = {"management": {"port": taken}}
    if name == "object-store":
        sections = {"staging": {"polytope": {"token": secrets.token_hex(16), **management}}}
    else:
        sections = {name: management}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **sections}))
    command = [
        sys.executable,
        "-m",
        "polytope_server",
        name,
        "-f",
        str(file),
        "--data",
        str(tmp_path / "data"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {taken}" in ended.stderr
    assert "management.port" in ended.stderr
    assert "Traceback" not in ended.stderr
