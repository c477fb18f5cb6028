"""The server as `polytope-deployment/compose.yaml` runs it: nine containers, with the services of a trial."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from containers import ENGINE, engine, image, wait_for
from polytope.api import Client

DEPLOYMENT = Path(__file__).parents[2] / "polytope-deployment"
#: Bytes of a result that takes a worker some seconds, and how many of them keep both busy.
LARGE, MANY = 64 << 20, 12


class Stack:
    """One project of Compose, apart from any other of this machine."""

    def __init__(self, folder: Path) -> None:
        self.env_file = folder / "env"
        self.project = f"polytope-test-{os.getpid()}"
        subprocess.run([sys.executable, DEPLOYMENT / "make-env", self.env_file], check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api/v1"
        images = {f"POLYTOPE_{name.upper()}_IMAGE": image(name) for name in ("common", "worker")}
        images |= {
            f"POLYTOPE_{name.upper()}_IMAGE": image(f"trial-{name}")
            for name in ("mongodb", "rabbitmq", "redis", "s3")
        }
        with self.env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in {**images, "POLYTOPE_PORT": port}.items())

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        """What `docker compose` prints."""
        files = ("--file", str(DEPLOYMENT / "compose.yaml"), "--env-file", str(self.env_file))
        return engine("compose", "--project-name", self.project, *files, *arguments, timeout=timeout)

    @property
    def password(self) -> str:
        """The password of the user demo."""
        lines = dict(line.split("=", 1) for line in self.env_file.read_text().splitlines())
        return lines["POLYTOPE_DEMO_PASSWORD"]

    def containers(self, service: str) -> list[str]:
        """The ids of the containers of a service that run."""
        return self.compose("ps", "--quiet", "--status", "running", service).split()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole server, up and healthy; nothing is left of it afterwards."""
    try:
        subprocess.run([ENGINE, "compose", "version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"cannot be had: `{ENGINE} compose`")
    stack = Stack(tmp_path_factory.mktemp("compose"))
    try:
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "240")
        yield stack
    except AssertionError:
        print(stack.compose("logs", "--tail", "30"))
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout", "60")
        of_project = f"label=com.docker.compose.project={stack.project}"
        assert engine("ps", "--all", "--quiet", "--filter", of_project) == ""
        assert engine("volume", "ls", "--quiet", "--filter", of_project) == ""


@pytest.fixture
def client(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The published client, outside of the containers."""
    monkeypatch.setenv("POLYTOPE_CONFIG_PATH", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    return Client(
        address=stack.url.removesuffix("/api/v1"),
        insecure=True,
        username="demo",
        password=stack.password,
        key_path=str(tmp_path / "no-key"),
        quiet=True,
    )


@pytest.fixture
def session(stack: Stack) -> requests.Session:
    """The same user, without the client."""
    session = requests.Session()
    session.auth = ("demo", stack.password)
    session.trust_env = False
    return session


def submit(stack: Stack, session: requests.Session, size: int) -> str:
    """The address of a new request for that many bytes; tried again while the server is not ready."""
    answers: list[requests.Response] = []

    def accepted() -> bool:
        body = {"verb": "retrieve", "request": str(size)}
        answers.append(session.post(f"{stack.url}/requests/dummy", json=body, timeout=60))
        assert answers[-1].status_code in (202, 503), answers[-1].text
        return answers[-1].status_code == 202

    wait_for(accepted, "a submission")
    return urljoin(answers[-1].url, answers[-1].headers["Location"])


def result(session: requests.Session, address: str) -> bytes:
    """The result of a request, as soon as there is one."""
    answers: list[requests.Response] = []

    def ended() -> bool:
        answers.append(session.get(address, timeout=120, allow_redirects=False))
        assert answers[-1].status_code in (202, 303, 503), answers[-1].text
        return answers[-1].status_code == 303

    wait_for(ended, "a result", timeout=240)
    answer = session.get(urljoin(address, answers[-1].headers["Location"]), timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_the_published_client_retrieves(client: Client, tmp_path: Path) -> None:
    (made,) = client.retrieve("dummy", "12345", str(tmp_path / "result"))
    assert Path(made).read_bytes() == b"x" * 12_345


def test_nobody_gets_in_without_the_password(stack: Stack) -> None:
    assert requests.get(f"{stack.url}/collections", auth=("demo", "demo"), timeout=60).status_code == 401


def test_every_container_is_confined(stack: Stack) -> None:
    names = stack.compose("ps", "--quiet").split()
    assert len(names) == 9
    published = 0
    for container in json.loads(engine("inspect", *names)):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], container["Name"]
        assert host["CapDrop"] == ["ALL"], container["Name"]
        assert "no-new-privileges:true" in host["SecurityOpt"], container["Name"]
        assert host["Memory"] > 0, container["Name"]
        assert container["Config"]["User"] == "10001:10001", container["Name"]
        assert container["State"]["Health"]["Status"] == "healthy", container["Name"]
        for addresses in container["NetworkSettings"]["Ports"].values():
            for address in addresses or []:
                assert address["HostIp"] == "127.0.0.1"
                published += 1
    assert published == 1


def test_a_killed_worker_costs_no_request(stack: Stack, session: requests.Session) -> None:
    addresses = [submit(stack, session, LARGE + number) for number in range(MANY)]
    workers = stack.containers("worker")
    assert len(workers) == 2
    wait_for(
        lambda: any(request["status"] == "processing" for request in listed(stack, session)),
        "a request that runs",
    )
    engine("kill", workers[0])
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda address: len(result(session, address)), addresses))
    assert sizes == [LARGE + number for number in range(MANY)]
    stack.compose("up", "--detach", "--wait", "--wait-timeout", "120")
    assert len(stack.containers("worker")) == 2


def listed(stack: Stack, session: requests.Session) -> list[dict[str, str]]:
    """The user's requests."""
    found: list[dict[str, str]] = session.get(f"{stack.url}/requests", timeout=60).json()["message"]
    return found


def test_nothing_is_lost_when_the_database_restarts(stack: Stack, session: requests.Session) -> None:
    before = submit(stack, session, 1000)
    assert len(result(session, before)) == 1000
    stack.compose("restart", "mongodb")
    assert len(result(session, submit(stack, session, 2000))) == 2000
    assert len(result(session, before)) == 1000


def test_it_ends_in_good_order(stack: Stack) -> None:
    names = [name for service in ("frontend", "broker", "worker") for name in stack.containers(service)]
    stack.compose("stop", "frontend", "broker", "worker")
    for container in json.loads(engine("inspect", *names)):
        assert container["State"]["ExitCode"] == 0, container["Name"]
