"""The systemd unit, as it is written, under a real systemd."""

from __future__ import annotations

import re
import site
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import yaml

from polytope_demonstration import fdb
from testbed.server import CONFIG, Server, free_port, users_of
from testbed.services import NotInstalledError
from testbed.services.systemd import Systemd

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "polytope-deployment" / "systemd"
UNIT = "polytope@standalone.service"
PASSWORD = "one with $HOME and a \\ in it"
#: An FDB that the account may read, and its fields.
FIELDS, DAY = Path("/srv/polytope-tests-fdb"), date(2026, 1, 1)
#: A virtual environment whose packages are those of the tests' own.
ENVIRONMENT = {
    "/opt/polytope/pyvenv.cfg": "home = /opt/python/bin\ninclude-system-site-packages = false\n",
    "/etc/ld.so.conf.d/polytope.conf": "/opt/python/lib\n",
    f"/opt/polytope/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/all.pth": (
        "/opt/source\n/opt/site\n"
    ),
    "/opt/polytope/bin/polytope-server": (
        "#!/opt/polytope/bin/python\n"
        "import sys\n"
        "from polytope_server.__main__ import main\n"
        "sys.exit(main())\n"
    ),
}


class Slow(BaseHTTPRequestHandler):
    """Answers when it may."""

    asked: ClassVar[threading.Event] = threading.Event()
    calls: ClassVar[list[str]] = []
    may: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append(self.path)
        self.asked.set()
        self.may.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"slow")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    """The address of a service that answers when it may."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{service.server_port}"
        service.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, slow: str) -> Iterator[tuple[Systemd, Server]]:
    """A systemd with the unit installed as the page for operators says, and the server that it will run."""
    port = free_port()
    users = [{"uid": "alice", "password": "$ALICE_PASSWORD"}]
    config = {
        **CONFIG,
        "frontend": {"bind_to": "127.0.0.1", "port": port},
        "authentication": {
            "test": {"authenticators": {"plain": {"type": "plain", "clear_text": True, "users": users}}}
        },
        "datasources": {
            "echo": {"type": "echo"},
            "slow": {"type": "http", "url": slow},
            "fields": {"type": "fdb", "fdb_config": fdb.configuration(FIELDS), "match": {"class": ["od"]}},
        },
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]}
            for name in ("echo", "slow", "fields")
        },
    }
    files = {
        "/etc/systemd/system/polytope@.service": (FOLDER / "polytope@.service").read_text(),
        # Without a journal, as here, it would not be seen.
        "/etc/systemd/system/polytope@.service.d/log.conf": (
            "[Service]\nStandardOutput=append:/run/polytope.log\nStandardError=inherit\n"
        ),
        "/etc/sysusers.d/polytope.conf": (FOLDER / "polytope.sysusers.conf").read_text(),
        "/etc/polytope/config.yaml": yaml.safe_dump(config),
        "/etc/polytope/environment": f"ALICE_PASSWORD='{PASSWORD}'\n",
        **ENVIRONMENT,
    }
    # Where the account can read them; here they may lie in the home of root.
    archive = tmp_path_factory.mktemp("fdb")
    fdb.fill(archive, [DAY])
    installed = {
        str(FIELDS): archive,
        "/opt/source": ROOT,
        "/opt/site": Path(site.getsitepackages()[0]),
        "/opt/python": Path(sys.base_prefix),
    }
    try:
        systemd = Systemd(tmp_path_factory.mktemp("systemd"), files, installed)
    except NotInstalledError as error:
        pytest.skip(str(error))
    with systemd:
        systemd.run("ln", "-s", "/opt/python/bin/python3", "/opt/polytope/bin/python")
        systemd.run("ldconfig")
        systemd.run("systemd-sysusers")
        systemd.run("chmod", "-R", "a+rX", str(FIELDS))
        systemd.run("chown", "root:polytope", "/etc/polytope/config.yaml")
        systemd.run("chmod", "640", "/etc/polytope/config.yaml")
        systemd.run("chmod", "600", "/etc/polytope/environment")
        yield systemd, Server(f"http://127.0.0.1:{port}", users_of(config) | {"alice": PASSWORD})
        print(systemd.run("tail", "-n", "50", "/run/polytope.log", check=False).stdout)


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Return when the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


@pytest.fixture
def running(machine: tuple[Systemd, Server]) -> tuple[Systemd, Server]:
    """The same, with the unit started."""
    systemd, server = machine
    systemd.run("systemctl", "start", UNIT)
    until(server.alive)
    return machine


def status(process: psutil.Process) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_systemd_has_nothing_to_say_about_the_unit(machine: tuple[Systemd, Server]) -> None:
    systemd, _ = machine
    said = systemd.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert said.stdout + said.stderr == ""


def test_its_exposure_is_low(machine: tuple[Systemd, Server]) -> None:
    systemd, _ = machine
    path = "/etc/systemd/system/polytope@.service"
    said = systemd.run("systemd-analyze", "security", "--offline=yes", "--threshold=25", path, check=False)
    assert said.returncode == 0, said.stdout[-600:]


def test_requests_are_served_with_secrets_of_the_environment_file(running: tuple[Systemd, Server]) -> None:
    _, server = running
    session = server.session()
    request = server.submit(session, "echo", "under systemd")
    assert server.result(session, request) == b"under systemd"


def test_fields_are_read_from_an_fdb(running: tuple[Systemd, Server]) -> None:
    _, server = running
    field = {
        "class": "od",
        "stream": "oper",
        "type": "fc",
        "expver": "0001",
        "domain": "g",
        "time": "0000",
        "date": f"{DAY:%Y%m%d}",
        "levtype": "sfc",
        "param": "2t",
        "step": "24",
    }
    session = server.session()
    assert server.result(session, server.submit(session, "fields", field)).startswith(b"GRIB")


def test_its_processes_may_do_little(running: tuple[Systemd, Server]) -> None:
    systemd, _ = running
    processes = systemd.processes("system-polytope.slice/" + UNIT)
    assert len(processes) > 5
    owner = int(systemd.run("id", "--user", "polytope").stdout)
    for process in processes:
        kernel = status(process)
        assert set(kernel["Uid"].split()) == {str(owner)}
        assert (kernel["CapEff"], kernel["CapBnd"]) == ("0" * 16, "0" * 16)
        assert (kernel["NoNewPrivs"], kernel["Seccomp"]) == ("1", "2")
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
        assert re.search(r"^\S+ \S+ \S+ \S+ / ro[, ]", mounts, re.MULTILINE), "its root can be written"
        assert re.search(r"^\S+ \S+ \S+ \S+ /var/lib/polytope rw[, ]", mounts, re.MULTILINE)
    assert systemd.run("stat", "-c", "%U %a", "/var/lib/polytope").stdout == "polytope 700\n"


def test_a_server_that_is_killed_is_started_again(running: tuple[Systemd, Server]) -> None:
    systemd, server = running
    before = int(systemd.show(UNIT, "NRestarts"))
    systemd.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
    until(lambda: int(systemd.show(UNIT, "NRestarts")) > before)
    until(server.alive)
    assert systemd.show(UNIT, "ActiveState") == "active"


def test_stop_lets_a_request_finish_and_ends_all_processes(running: tuple[Systemd, Server]) -> None:
    systemd, server = running
    session = server.session()
    request = server.submit(session, "slow", {"class": "od"})
    assert Slow.asked.wait(30)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(systemd.run, "systemctl", "stop", UNIT)
        until(lambda: not server.alive())
        Slow.may.set()
        stopping.result()
    assert (systemd.show(UNIT, "Result"), systemd.show(UNIT, "ExecMainStatus")) == ("success", "0")
    assert systemd.processes("system-polytope.slice/" + UNIT) == []
    systemd.run("systemctl", "start", UNIT)
    until(server.alive)
    assert server.result(session, request) == b"slow"
    assert len(Slow.calls) == 1, "the request had not finished, and was tried again after the start"


def test_a_command_runs_as_the_account_with_the_secrets(running: tuple[Systemd, Server]) -> None:
    systemd, _ = running
    page = (ROOT / "docs" / "operators" / "systemd.md").read_text()
    (command,) = re.findall(r"^```sh\n(set -a.*?)^```", page, re.MULTILINE | re.DOTALL)
    said = systemd.run("sh", "-e", "-c", command)
    assert "what is to be done" in said.stdout
