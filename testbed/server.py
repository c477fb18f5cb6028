"""A whole server for tests and benchmarks: `standalone` on a free port, with a folder of its own."""

from __future__ import annotations

import base64
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import urljoin

import psutil
import requests
import yaml

from polytope_server.config import Configuration
from testbed.launch import Launch, Process, run_command

#: The user of :data:`CONFIG`, for the realm `test`.
USER, PASSWORD = "alice", "alice's password"
#: Small data sources and one collection for each; every section can be overridden.
CONFIG: dict[str, Any] = {
    "logging": {"mode": "console", "level": "WARNING"},
    # Each of a worker's children takes as long to start as all other processes; most tests need one.
    "worker": {"concurrency": 1},
    "authentication": {
        "test": {
            "authenticators": {
                "plain": {
                    "type": "plain",
                    "clear_text": True,
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


class Server:
    """A server that runs, and what a client does with it."""

    def __init__(self, url: str, users: Mapping[str, str]) -> None:
        """`url` is where the REST API is, `/api/v1` left out; `users` are passwords by name."""
        self.url = f"{url.rstrip('/')}/api/v1"
        self.users = dict(users)

    def alive(self) -> bool:
        """Whether the REST API answers."""
        try:
            return requests.get(f"{self.url}/test", timeout=5).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def session(self, user: str | None = None, password: str | None = None) -> requests.Session:
        """A session with the credentials of one of the users, by default the first."""
        user = user or next(iter(self.users))
        session = requests.Session()
        session.trust_env = False
        session.headers.update(basic(user, password or self.users[user]))
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
        return self.download(self.link(answer))

    def download(self, link: str, seconds: float = 60.0) -> bytes:
        """The bytes at an address, through restarts of whoever serves them."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                data = requests.get(link, timeout=60)
                if data.status_code == 200:
                    return data.content
                said = f"{data.status_code}: {data.text[:500]}"
                assert data.status_code >= 500, said
            except requests.RequestException as error:
                said = str(error)
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def link(self, answer: requests.Response) -> str:
        """The address of the result, from the last answer to a poll."""
        return urljoin(f"{self.url}/requests/", answer.headers["Location"])


class Deployment(Server):
    """A server that was started elsewhere, as its configuration describes it."""

    def __init__(self, configuration: Configuration) -> None:
        settings = configuration.settings
        bound = settings.frontend.bind_to
        host = "127.0.0.1" if bound in ("0.0.0.0", "::") else bound
        url = settings.testrunner.url or f"http://{host}:{settings.frontend.port}"
        listed = settings.testrunner.users or []
        users = {user["uid"]: user["password"] for user in listed if isinstance(user, dict)}
        super().__init__(url, users or users_of({"authentication": settings.authentication}))
        self._collections = configuration.collections.values()

    def collection(self, kind: str) -> str:
        """The first collection that a data source of this type serves. Raises LookupError."""
        for found in self._collections:
            if found.datasources[0].type == kind:
                return found.name
        raise LookupError(f"the tests need a collection whose first data source is of type {kind!r}")


class StandaloneServer(Server):
    """`polytope-server standalone`; a context manager that starts it, and leaves no process behind."""

    #: How processes are started.
    launch: ClassVar[Launch] = staticmethod(run_command)

    def __init__(
        self,
        data: Path,
        config: Mapping[str, Any] | None = None,
        files: Sequence[Path] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`config` replaces whole sections of :data:`CONFIG`; `frontend` gets a free port.

        `files` are configurations that come before it, `variables` additions to the environment.
        """
        self.data = data
        self.port = free_port()
        self.config = {**CONFIG, **(config or {})}
        self.config["frontend"] = {
            **self.config.get("frontend", {}),
            "bind_to": "127.0.0.1",
            "port": self.port,
        }
        super().__init__(f"http://127.0.0.1:{self.port}", users_of(self.config))
        self._before = list(files)
        #: Additions to the environment.
        self.variables = dict(variables or {})
        self.log = data / "server.log"
        self._process: Process | None = None

    def __enter__(self) -> StandaloneServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log.read_text()[-5000:])

    def use(self, *files: Path) -> None:
        """Further configurations, before its own."""
        self._before += files

    @property
    def files(self) -> list[Path]:
        """The configuration, merged in this order."""
        return [*self._before, self.data / "config.yaml"]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return {**os.environ, **self.variables}

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, seconds: float = 60.0) -> None:
        """Start, and return when the REST API answers. Raises RuntimeError if it does not."""
        self.data.mkdir(parents=True, exist_ok=True)
        files = [part for file in self.files for part in ("-f", str(file))]
        self.files[-1].write_text(yaml.safe_dump(self.config, sort_keys=False))
        arguments = ["standalone", *files, "--data", str(self.data)]
        self._process = self.launch(arguments, self.log, self.environment)
        deadline = time.monotonic() + seconds
        # Hundreds of HTTP calls to a port where nothing listens would cost as much as one of its processes.
        while not (self._listens() and self.alive()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

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
        """Those of one kind, parents first: frontend, broker, worker, fork server, data source ..."""
        found = []
        for process in self.all_processes():
            try:
                line = " ".join(process.cmdline()).strip()
            except psutil.NoSuchProcess:
                continue
            if line in (
                f"polytope-server {name}",
                f"gunicorn: master [polytope-{name}]",
                f"gunicorn: worker [polytope-{name}]",
            ):
                found.append(process)
        return found


def users_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The passwords by name of all `plain` users of a configuration."""
    realms = [realm for name, realm in config.get("authentication", {}).items() if name != "cache"]
    authenticators = [keys for realm in realms for keys in realm.get("authenticators", {}).values()]
    listed = [user for keys in authenticators if keys.get("type") == "plain" for user in keys["users"]]
    return {user["uid"]: user["password"] for user in listed}


def environment() -> dict[str, str]:
    """The environment without proxies, for clients that would use them."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
