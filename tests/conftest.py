"""The real servers, one of each for a test session. One that this machine cannot have skips its tests."""

from __future__ import annotations

import shutil
import signal
import sqlite3  # noqa: F401 -- before a library that brings an older one of its own, such as that of the FDB
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

from polytope_server.settings import backends
from testbed.services import (
    LDAP,
    S3,
    Memcached,
    MongoDB,
    NotInstalledError,
    PostgreSQL,
    RabbitMQ,
    Rclone,
    Redis,
    S3rver,
    Service,
)

#: Folders whose files use the same servers, which each process would start for itself.
SHARED_SERVERS = ("tests/integration/rest/", "tests/integration/demonstration/")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        *("--config",), metavar="FILE", type=Path, action="append", default=[],
        help="configuration of a deployment that runs already: only the tests for any deployment are run, "
        "against it; several files are merged, as -f of polytope-server does",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Let what the tests start be stopped by SIGINT, which a shell has its background jobs ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--config`, leave out what starts servers of its own."""
    if not config.getoption("--config"):
        return
    others = [item for item in items if item.get_closest_marker("deployment") is None]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """With `--dist loadfile`, keep a folder whose files share servers in one process as well."""
    return _ByServers(config, log) if config.getvalue("dist") == "loadfile" else None


class _ByServers(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((folder for folder in SHARED_SERVERS if file.startswith(folder)), file)


def _service(kind: type[Service], what: str) -> Any:
    """A fixture: one server of that kind for the whole session."""

    @pytest.fixture(scope="session")
    def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        try:
            service = kind(tmp_path_factory.mktemp("service"))
            service.command()
        except NotInstalledError as error:
            pytest.skip(str(error))
        with service:
            yield service

    served.__doc__ = what
    return served


mongodb = _service(MongoDB, "A replica set of one server.")
rabbitmq = _service(RabbitMQ, "A RabbitMQ node.")
redis_server = _service(Redis, "A Redis with a password.")
memcached = _service(Memcached, "A Memcached.")
postgresql = _service(PostgreSQL, "A PostgreSQL with an empty database.")
ldap = _service(LDAP, "An OpenLDAP with a few users and groups.")
s3 = _service(S3, "A SeaweedFS.")
rclone = _service(Rclone, "An S3 server that knows less.")
s3rver = _service(S3rver, "One that knows still less.")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 MiB, empty."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256M", "none", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot be had: a tmpfs, which only root may mount")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


_GREEDY = """
import itertools
import mmap
from polytope_server.datasource import DataSource, Result


class GreedyDataSource(DataSource):
    kept = None

    def retrieve(self, job):
        what, size = job.coerced_request["data"].split()
        if what in ("stream", "announce"):
            known = int(size) if what == "announce" else None
            return Result("x/y", itertools.repeat(bytes(1 << 20), int(size) >> 20), known)
        if what == "map":
            with open(__file__ + ".large", "w+b") as file:
                file.truncate(int(size))
                taken = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        else:
            taken = bytearray(int(size))
        if what == "keep":
            self.kept = taken
        return Result("x/y", [b"%d" % len(taken)])
"""


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The type `greedy`: `take N` takes N bytes, `keep N` keeps, `map N` maps, `stream N` gives them.

    `announce N` says before that it will.
    """
    with _installed(tmp_path, monkeypatch, "greedy", _GREEDY, "GreedyDataSource"):
        yield


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The type `answering`, of the module beside this one."""
    text = Path(__file__).with_name("answering_source.py").read_text()
    with _installed(tmp_path, monkeypatch, "answering", text, "AnsweringDataSource"):
        yield


@contextmanager
def _installed(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, kind: str
) -> Iterator[None]:
    """A module that is installed as a package with one data source, in this process and those it starts."""
    folder = data / "packages"
    about = folder / f"{name}-1.dist-info"
    about.mkdir(parents=True)
    (folder / f"{name}.py").write_text(text)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[polytope_server.datasources]\n{name} = {name}:{kind}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)
    backends.plug_ins.cache_clear()
    yield
    backends.plug_ins.cache_clear()
