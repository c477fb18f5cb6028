"""Processes of the version before and of this one on one store: nothing fails, nothing is fetched twice.

Of the version before the code comes out of the history of this repository.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import yaml
from archive_host import ArchiveHost
from argon2 import PasswordHasher
from faults import FULL, CountingSource, staged
from fleet import Batch, Fleet, config

from testbed.server import StandaloneServer
from testbed.waiting import until

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

#: The last commit whose leases went by the clocks of the machines.
BEFORE = "4d5976e"
#: The last commit whose requests had one field `url`, instead of `input` and `result`.
ONE_ADDRESS = "4bbee47"
REPOSITORY = Path(__file__).parents[2]
LEASE, WORK = 6.0, 8.0
#: Which broker leads first, and the back-ends.
SQLITE, MONGODB = "sqlite", "mongodb-rabbitmq-s3-redis"
POSTGRESQL = "postgresql-rabbitmq-objectstore-memcached"
SHORT = [("old", SQLITE), ("new", MONGODB)]
STACKS = [SQLITE, MONGODB] if FULL else [SQLITE]
#: API keys of the realm `test`.
KEYS = {
    SQLITE: {"generator": {"type": "sql", "allowed_realms": ["test"]}, "authenticator": {"type": "sql"}},
    **{stack: {"generator": {"allowed_realms": ["test"]}} for stack in (MONGODB, POSTGRESQL)},
}
CASES = [*SHORT, ("new", SQLITE), ("old", MONGODB)] if FULL else SHORT


def with_hashes(server: StandaloneServer) -> StandaloneServer:
    """The server, with its users as both versions take them: earlier ones know no key `clear_text`."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    users = [{"uid": name, "password": hasher.hash(word)} for name, word in server.users.items()]
    server.config["authentication"] = {
        "test": {"authenticators": {"plain": {"type": "plain", "users": users}}}
    }
    return server


def code_of(commit: str, folder: Path) -> Path:
    """The folder, with the code of that commit."""
    command = ["git", "-C", str(REPOSITORY), "archive", commit, "polytope_server"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"there is no commit {commit}, in a copy without the history of the repository")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the version whose leases went by the clocks of the machines."""
    return code_of(BEFORE, tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def one_address(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the version whose requests had one address for input and result."""
    return code_of(ONE_ADDRESS, tmp_path_factory.mktemp("one-address"))


@pytest.mark.parametrize(("first", "stack"), CASES)
def test_old_and_new_processes_work_together(
    stacks: Stacks, tmp_path: Path, before: Path, stack: str, first: str
) -> None:
    """Workers of both, frontends of both, and a broker of one, which hands over to one of the other."""
    with CountingSource(WORK).serving() as source:
        data, sections = tmp_path / "data", config(source, LEASE)
        # The version before refuses a key that it does not know: configurations change last.
        del sections["worker"]["max_lost_leases"]
        alone = stack == SQLITE
        server = StandaloneServer(data, sections) if alone else stacks.server(stack, data, sections)
        other = StandaloneServer(data / "other", sections)
        with Fleet(with_hashes(server)) as fleet:
            port = tmp_path / "port.yaml"
            port.write_text(yaml.safe_dump({"frontend": {"port": other.port}}))
            versions = {"old": before, "new": None}
            leading = fleet.start("broker", code=versions.pop(first))
            fleet.start("frontend")
            fleet.start("frontend", code=before, files=[port])
            fleet.start("worker")
            fleet.start("worker", code=before)
            (second,) = versions.values()
            fleet.wait()
            fleet.wait(other)
            batch = Batch(server, source)
            batch.submit(4)
            batch.submit(4, other)
            batch.run()
            fleet.start("broker", code=second)
            leading.terminate()
            batch.submit(4)
            batch.submit(4, other)
            batch.check()
            assert "the lease of worker" not in fleet.log()


def archive(server: StandaloneServer, session: requests.Session, url: str | None = None) -> str:
    """Submit an archive request; its id."""
    body = {"verb": "archive", "request": "an archive", **({"url": url} if url else {})}
    answer = session.post(f"{server.url}/requests/archive", json=body, timeout=60)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"].rpartition("/")[2]


def upload(server: StandaloneServer, session: requests.Session, request_id: str, data: bytes) -> None:
    """Give an archive request its data, or other ones than before."""
    headers = {"X-Checksum": hashlib.md5(data).hexdigest()}
    answer = session.post(f"{server.url}/uploads/{request_id}", data=data, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text


def addresses(server: StandaloneServer, session: requests.Session) -> dict[str, str]:
    """The `url` of each request, as that frontend lists it."""
    found = session.get(f"{server.url}/requests", timeout=60).json()["message"]
    return {document["id"]: document["url"] for document in found}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("door", "hands"), [("old", "new"), ("new", "old")])
def test_inputs_and_results_pass_from_one_version_to_the_other(
    stacks: Stacks, tmp_path: Path, one_address: Path, stack: str, door: str, hands: str
) -> None:
    """A frontend of one, and a worker and a second frontend, which replaces an upload, of the other."""
    code = {"old": one_address, "new": None}
    with ArchiveHost().serving() as host:
        data, sections = tmp_path / "data", host.sections()
        first = StandaloneServer(data, sections) if stack == SQLITE else stacks.server(stack, data, sections)
        second = StandaloneServer(data / "other", sections)
        port = tmp_path / "port.yaml"
        port.write_text(yaml.safe_dump({"frontend": {"port": second.port}}))
        with Fleet(with_hashes(first)) as fleet, first.session() as session:
            fleet.start("frontend", code=code[door])
            fleet.wait()
            fleet.start("frontend", code=code[hands], files=[port])
            fleet.wait(second)
            fleet.start("broker", code=code[door])
            retrieval = first.submit(session, "archive", "a retrieval")
            by_url = archive(first, session, host.input_url)
            uploaded, replaced = archive(first, session), archive(first, session)
            upload(first, session, uploaded, b"uploaded")
            upload(first, session, replaced, b"to be replaced")
            upload(second, session, replaced, b"replaced")
            assert addresses(first, session) == addresses(second, session)
            fleet.start("worker", code=code[hands])
            for server in (first, second):
                assert server.result(session, retrieval) == b"a retrieval"
                for request_id in (by_url, uploaded, replaced):
                    assert server.poll(session, request_id).status_code == 200
            assert sorted(host.kept) == sorted([host.INPUT, b"uploaded", b"replaced"])
            found = addresses(first, session)
            assert found == addresses(second, session)
            assert found[by_url] == host.input_url
            assert found[uploaded].startswith(f"staging:{uploaded}/")
            # The uploads are gone, the one that was replaced, too.
            until(lambda: staged(first) == {found[retrieval].removeprefix("./downloads/")}, 20)


@pytest.mark.parametrize("stack", [SQLITE, MONGODB, POSTGRESQL] if FULL else [SQLITE])
def test_what_the_version_before_kept_is_served(
    stacks: Stacks, tmp_path: Path, one_address: Path, stack: str
) -> None:
    """Results, uploads and requests that wait, and API keys, in the data folder and in the databases."""
    with ArchiveHost().serving() as host:
        data, sections = tmp_path / "data", {**host.sections(), "api-keys": KEYS[stack]}
        server = StandaloneServer(data, sections) if stack == SQLITE else stacks.server(stack, data, sections)
        with Fleet(with_hashes(server)) as fleet, server.session() as session:
            names = ["frontend", "broker", *(["object-store"] if stack == POSTGRESQL else [])]
            processes = [fleet.start(name, code=one_address) for name in names]
            worker = fleet.start("worker", code=one_address)
            fleet.wait()
            key = session.post(f"{server.url}/auth/keys", json={}, timeout=60).json()["key"]
            done = server.submit(session, "archive", "a retrieval")
            assert server.result(session, done) == b"a retrieval"
            worker.terminate()
            worker.wait(60)
            waiting, uploaded = server.submit(session, "archive", "another"), archive(server, session)
            upload(server, session, uploaded, b"uploaded")
            listed = addresses(server, session)
            for process in processes:
                process.terminate()
                process.wait(60)
        with server, requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {key}"
            assert addresses(server, session).keys() == listed.keys() == {done, waiting, uploaded}
            assert server.result(session, done) == b"a retrieval"
            assert server.result(session, waiting) == b"another"
            assert server.poll(session, uploaded).status_code == 200
            assert host.kept == [b"uploaded"]
