"""What SQLite raises becomes what a database may raise; faults of the program stay what they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from polytope_server.drivers.sql import DatabaseUnavailableError, UniqueViolationError
from polytope_server.drivers.sql.sqlite_errors import is_busy, translate

PATH = Path("/data/polytope.sqlite")


def integrity_error(statement: str) -> sqlite3.IntegrityError:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT NOT NULL)")
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute(statement)
    connection.close()
    return caught.value


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError("disk I/O error")])
def test_an_outage_names_the_file_and_what_was_to_be_done(error: Exception) -> None:
    found = translate(error, "write", PATH)
    assert isinstance(found, DatabaseUnavailableError)
    assert str(found) == "cannot write the database /data/polytope.sqlite: disk I/O error"


def test_a_second_row_of_a_key_is_a_violation_of_it() -> None:
    error = integrity_error("INSERT INTO t VALUES (1, 'b')")
    assert isinstance(translate(error, "write", PATH), UniqueViolationError)


def test_another_constraint_is_a_fault_of_the_program() -> None:
    error = integrity_error("INSERT INTO t VALUES (2, NULL)")
    assert translate(error, "write", PATH) is error
    other = KeyError("x")
    assert translate(other, "write", PATH) is other


def test_a_lock_of_another_program_is_no_broken_disk(tmp_path: Path) -> None:
    connections = [sqlite3.connect(tmp_path / "x", isolation_level=None, timeout=0) for _ in range(2)]
    connections[0].execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connections[1].execute("BEGIN IMMEDIATE")
    assert is_busy(caught.value)
    assert not is_busy(sqlite3.OperationalError("disk I/O error"))
    for connection in connections:
        connection.close()
