"""Whole servers on stores of other versions: those that they can work on, and those that they must not."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pymongo import MongoClient

from polytope_server.request import Request
from polytope_server.request_store.mongodb.documents import INDEXES, to_document
from polytope_server.request_store.sql.rows import to_row
from polytope_server.runtime.process import INCOMPATIBLE
from polytope_server.user import User
from testbed.server import USER, StandaloneServer

if TYPE_CHECKING:
    from conftest import Stacks

MONGODB = "mongodb-rabbitmq-s3-redis"
POSTGRESQL = "postgresql-rabbitmq-objectstore-memcached"
#: The version of a server to come.
LATER = 99


def store(server: StandaloneServer, command: str) -> subprocess.CompletedProcess[str]:
    """`polytope-server store` with the configuration of a server that need not run."""
    server.data.mkdir(parents=True, exist_ok=True)
    files = [part for file in server.files for part in ("-f", str(file))]
    server.files[-1].write_text(json.dumps(server.config))
    return run(server, "store", command, *files)


def run(server: StandaloneServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "polytope_server", *arguments, "--data", str(server.data)],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def waiting() -> Request:
    """A request that a process of a later version has stored."""
    return Request(User(USER, "test"), "echo", user_request="from a later version", datasource="echo")


def check_served(server: StandaloneServer, request: Request) -> None:
    """It is fetched, and so is a request of now."""
    with server, server.session() as session:
        assert server.result(session, request.id) == b"from a later version"
        assert server.result(session, server.submit(session, "echo", "now")) == b"now"


# -- SQLite ------------------------------------------------------------------------------------------


@contextmanager
def connected(server: StandaloneServer) -> Iterator[sqlite3.Connection]:
    path = server.data / "polytope.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def server(tmp_path: Path) -> StandaloneServer:
    """A server whose database is there already."""
    server = StandaloneServer(tmp_path / "data")
    done = store(server, "upgrade")
    assert done.returncode == 0, done.stderr
    return server


def insert(connection: Any, request: Request, mark: str) -> None:
    """Store a request with a column more."""
    row = {**to_row(request), "priority": 1}
    columns = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(mark.format(name) for name in row)
    connection.execute(f"INSERT INTO requests ({columns}) VALUES ({values})", row)


def test_processes_work_on_a_database_of_a_later_version(server: StandaloneServer) -> None:
    request = waiting()
    with connected(server) as connection:
        connection.execute("ALTER TABLE requests ADD COLUMN priority INTEGER NOT NULL DEFAULT 7")
        connection.execute("UPDATE schema_versions SET version = ?", [LATER])
        insert(connection, request, ":{}")
    check_served(server, request)
    with connected(server) as connection:
        rows = connection.execute("SELECT status, priority FROM requests ORDER BY sequence").fetchall()
        assert rows == [("processed", 1), ("processed", 7)]
        assert connection.execute("SELECT DISTINCT version FROM schema_versions").fetchall() == [(LATER,)]


def shut_out(server: StandaloneServer) -> None:
    with connected(server) as connection:
        connection.execute("UPDATE schema_versions SET version = ?, needs = ?", [LATER, LATER])


@pytest.mark.parametrize("process", ["frontend", "broker", "worker", "garbage-collector"])
def test_a_process_that_is_too_old_ends_and_says_why(server: StandaloneServer, process: str) -> None:
    shut_out(server)
    done = run(server, process, "-f", str(server.files[-1]))
    # gunicorn has a status of its own for workers that cannot start.
    assert done.returncode == (3 if process == "frontend" else INCOMPATIBLE), done.stderr
    assert f"schema version {LATER}, for servers that know version {LATER} or later" in done.stderr


def test_a_server_that_is_too_old_ends_and_is_not_started_again_and_again(server: StandaloneServer) -> None:
    shut_out(server)
    done = run(server, "standalone", "-f", str(server.files[-1]))
    assert done.returncode == INCOMPATIBLE
    assert "install the version of the server that upgraded it, or a later one" in done.stderr


def test_the_commands_tell_versions_and_refuse(server: StandaloneServer) -> None:
    done = store(server, "check")
    assert (done.returncode, done.stdout.splitlines()[1].split("\t")[1:]) == (0, ["5", "5", "nothing"])
    shut_out(server)
    done = store(server, "check")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].endswith("install a later version of this server")
    done = store(server, "upgrade")
    assert done.returncode == 1
    assert "schema version 99" in done.stderr


# -- several machines --------------------------------------------------------------------------------


def test_processes_work_on_documents_of_a_later_version(stacks: Stacks, tmp_path: Path) -> None:
    request, server = waiting(), stacks.server(MONGODB, tmp_path / "data", {})
    name = server.config["request_store"]["mongodb"]["collection"]
    with MongoClient(stacks.services(MONGODB)["mongodb"].variables["MONGODB_URI"]) as client:
        database = client["request_store"]
        database["schema_versions"].insert_one({"_id": name, "version": LATER, "needs": 1, "by": "later"})
        later = {"priority": 1, "route": {"zone": "b"}}
        database[name].insert_one({**to_document(request, 1), **later})
        database[name].create_indexes(list(INDEXES))  # those that it needs; a later version leaves them
        done = store(server, "check")
        assert f"request_store.{name} of MongoDB\t{LATER}\t5\tnothing" in done.stdout, done.stderr
        check_served(server, request)
        found = database[name].find_one({"_id": request.id})
        assert found is not None
        assert (found["state"], found["priority"], found["route"]) == ("processed", 1, {"zone": "b"})
        assert database["schema_versions"].find_one({"_id": name})["by"] == "later"


def test_processes_work_on_tables_of_a_later_version(stacks: Stacks, tmp_path: Path) -> None:
    request, server = waiting(), stacks.server(POSTGRESQL, tmp_path / "data", {})
    url = stacks.services(POSTGRESQL)["postgresql"].variables["POSTGRESQL_URL"]
    done = store(server, "upgrade")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(url, autocommit=True) as connection:
        ours = connection.execute("SELECT name, version FROM schema_versions").fetchall()
        connection.execute("ALTER TABLE requests ADD COLUMN priority INTEGER NOT NULL DEFAULT 7")
        connection.execute("UPDATE schema_versions SET version = %s", [LATER])
        try:
            insert(connection, request, "%({})s")
            check_served(server, request)
            sql = "SELECT status, priority FROM requests WHERE id = %s"
            assert connection.execute(sql, [request.id]).fetchone() == ("processed", 1)
        finally:  # the session shares the server
            connection.execute("ALTER TABLE requests DROP COLUMN priority")
            for name, version in ours:
                connection.execute("UPDATE schema_versions SET version = %s WHERE name = %s", [version, name])
