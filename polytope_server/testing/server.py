"""A whole server for tests and benchmarks: `standalone` on a free port, with a folder of its own."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import requests
import yaml

#: The user of :data:`CONFIG`, for the realm `test`.
USER, PASSWORD = "alice", "alice's password"
#: Small data sources and one collection for each; every section can be overridden.
CONFIG: dict[str, Any] = {
    "logging": {"mode": "console", "level": "WARNING"},
    "authentication": {
        "test": {
            "authenticators": {
                "plain": {
                    "type": "plain",
                    "users": [
                        {"uid": USER, "password": PASSWORD},
                        {"uid": "bob", "password": "bob's password"},
                    ],
                }
            },
            "authorizers": {},
        }
    },
    "datasources": {
        "echo": {"type": "echo"},
        "dummy": {"type": "dummy"},
        "raise": {"type": "raise", "error_message": "this data source always fails"},
    },
    "collections": {
        name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("echo", "dummy", "raise")
    },
}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class StandaloneServer:
    """`polytope-server standalone`; a context manager that starts it, and leaves no process behind."""

    def __init__(self, data: Path, config: Mapping[str, Any] | None = None) -> None:
        """`config` replaces whole sections of :data:`CONFIG`; `frontend` gets a free port."""
        self.data = data
        self.port = free_port()
        self.config = {**CONFIG, **(config or {})}
        self.config["frontend"] = {
            **self.config.get("frontend", {}),
            "bind_to": "127.0.0.1",
            "port": self.port,
        }
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self.log = data / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> StandaloneServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log.read_text()[-5000:])

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, seconds: float = 60.0) -> None:
        """Start, and return when the REST API answers. Raises RuntimeError if it does not."""
        self.data.mkdir(parents=True, exist_ok=True)
        file = self.data / "config.yaml"
        file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "polytope_server",
                    "standalone",
                    "-f",
                    str(file),
                    "--data",
                    str(self.data),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while not self.alive():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.01)

    def alive(self) -> bool:
        """Whether the REST API answers."""
        try:
            return requests.get(f"{self.url}/test", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self) -> int | None:
        """Stop in good order; returns the exit status of the supervisor."""
        if self._process is None:
            return None
        processes = self.all_processes()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(60)
        finally:
            for process in processes:
                if process.is_running():
                    process.kill()
            self._process = None
        return status

    def kill(self) -> None:
        """End the supervisor by SIGKILL, and wait until all its processes have ended."""
        assert self._process is not None
        processes = self.all_processes()
        self._process.kill()
        self._process.wait()
        self._process = None
        psutil.wait_procs(processes, timeout=20)

    def all_processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        try:
            supervisor = psutil.Process(self.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of one kind, parents first: frontend, broker, worker, garbage-collector, or data source."""
        found = []
        for process in self.all_processes():
            try:
                line = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            is_child = "polytope_server.worker.child" in line
            if (name == "data source" and is_child) or (name in line and not is_child):
                found.append(process)
        return found

    def session(self, user: str = USER, password: str | None = None) -> requests.Session:
        """A session with the credentials of a user of :data:`CONFIG`."""
        session = requests.Session()
        session.trust_env = False
        session.headers.update(basic(user, password or f"{user}'s password"))
        return session

    def submit(self, session: requests.Session, collection: str, request: Any, verb: str = "retrieve") -> str:
        """Submit a request; returns its id."""
        answer = session.post(
            f"{self.url}/requests/{collection}", json={"verb": verb, "request": request}, timeout=60
        )
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def poll(self, session: requests.Session, request_id: str, seconds: float = 120.0) -> requests.Response:
        """Poll until the request has ended, through restarts of the server; returns the last answer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                answer = session.get(f"{self.url}/requests/{request_id}", allow_redirects=False, timeout=60)
            except requests.ConnectionError:
                time.sleep(0.05)
                continue
            if answer.status_code not in (202, 503):
                return answer
        raise AssertionError(f"request {request_id} did not end within {seconds} s")

    def result(self, session: requests.Session, request_id: str) -> bytes:
        """The result of a request that is, or will be, processed."""
        answer = self.poll(session, request_id)
        assert answer.status_code == 303, answer.text
        name = answer.json()["location"].removeprefix("../")
        data = requests.get(f"{self.url}/{name}", timeout=60)
        assert data.status_code == 200, data.text
        return data.content


def environment() -> dict[str, str]:
    """The environment without proxies, for clients that would use them."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
