"""Versions of schemas, on SQLite: old and new processes on one store, and who must not start."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from polytope_server.drivers.schema_version import IncompatibleSchemaError, LookedError, Maintenance
from polytope_server.drivers.sql import Column, Schema
from polytope_server.drivers.sql.address import SQLSettings, database_at
from polytope_server.drivers.sql.sqlite import SQLiteDialect
from polytope_server.request import Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import SCHEMA, to_row
from polytope_server.testing.request_store import RequestStoreContract, claimed, make

FIRST = Schema("t", 1, "CREATE TABLE IF NOT EXISTS t (n {integer} PRIMARY KEY)")
SECOND = replace(FIRST, version=2, added=(Column("t", "x", "{text} NOT NULL DEFAULT 'new'"),))
#: With which processes that know the first version only cannot work.
BREAKING = replace(SECOND, needs=2)


@contextmanager
def connected(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database, for what another version of the server does."""
    with closing(sqlite3.connect(folder / "polytope.sqlite", isolation_level=None)) as connection:
        yield connection


def recorded(folder: Path, name: str = "t") -> list[tuple[int, int]]:
    with connected(folder) as connection:
        found = connection.execute("SELECT version, needs FROM schema_versions WHERE name = ?", [name])
        return found.fetchall()


async def opened(folder: Path, *schemas: Schema) -> None:
    """Open the database with these schemas, one after the other, as processes do that start then."""
    for schema in schemas:
        database = database_at(None, folder)
        await database.open(schema)
        await database.close()


async def test_a_new_database_records_its_version(tmp_path: Path) -> None:
    await opened(tmp_path, SECOND)
    assert recorded(tmp_path) == [(2, 1)]


async def test_an_addition_is_made_once_and_rows_stay(tmp_path: Path) -> None:
    await opened(tmp_path, FIRST)
    with connected(tmp_path) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    await opened(tmp_path, SECOND, SECOND)
    assert recorded(tmp_path) == [(2, 1)]
    with connected(tmp_path) as connection:
        assert connection.execute("SELECT n, x FROM t").fetchall() == [(1, "new")]


async def test_an_older_process_starts_beside_newer_ones_and_leaves_the_version(tmp_path: Path) -> None:
    await opened(tmp_path, SECOND, FIRST)
    assert recorded(tmp_path) == [(2, 1)]


async def test_an_older_process_goes_on_while_a_newer_one_adds_something(tmp_path: Path) -> None:
    older = database_at(None, tmp_path)
    await older.open(FIRST)
    await opened(tmp_path, SECOND)
    await older.write("INSERT INTO t (n) VALUES (1)")
    assert await older.read("SELECT n FROM t") == [(1,)]
    await older.close()


async def test_a_database_without_versions_gets_them(tmp_path: Path) -> None:
    with connected(tmp_path) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT NOT NULL DEFAULT 'new')")
        connection.execute("INSERT INTO t (n) VALUES (1)")
    await opened(tmp_path, SECOND)
    assert recorded(tmp_path) == [(2, 1)]
    with connected(tmp_path) as connection:
        assert connection.execute("SELECT n, x FROM t").fetchall() == [(1, "new")]


async def test_a_process_that_is_too_old_refuses_and_says_what_to_do(tmp_path: Path) -> None:
    await opened(tmp_path, BREAKING)
    with pytest.raises(IncompatibleSchemaError) as caught:
        await opened(tmp_path, FIRST)
    assert str(caught.value) == (
        f"the table t of {tmp_path}/polytope.sqlite has schema version 2, for servers that know version 2 or "
        "later; this one knows 1: install the version of the server that upgraded it, or a later one"
    )
    assert recorded(tmp_path) == [(2, 2)]


async def test_what_older_processes_cannot_live_with_is_made_by_the_command_only(tmp_path: Path) -> None:
    await opened(tmp_path, FIRST)
    with pytest.raises(IncompatibleSchemaError, match=r"version 1, .* `polytope-server store upgrade`"):
        await opened(tmp_path, BREAKING)
    assert recorded(tmp_path) == [(1, 1)]
    with Maintenance().running():
        await opened(tmp_path, BREAKING)
    await opened(tmp_path, BREAKING)
    assert recorded(tmp_path) == [(2, 2)]


async def test_a_look_changes_nothing(tmp_path: Path) -> None:
    await opened(tmp_path, FIRST)
    maintenance = Maintenance(look_only=True)
    with maintenance.running(), pytest.raises(LookedError):
        await opened(tmp_path, BREAKING)
    (found,) = maintenance.found
    assert (found.is_older, found.is_too_new, found.shuts_out_others) == (True, False, True)
    assert recorded(tmp_path) == [(1, 1)]


# -- requests of other versions ----------------------------------------------------------------------


async def future(folder: Path) -> None:
    """Make the table of requests as a later version could: two columns more, and one row of a new state."""
    await opened(folder, SCHEMA)
    with connected(folder) as connection:
        connection.execute("ALTER TABLE requests ADD COLUMN priority INTEGER NOT NULL DEFAULT 7")
        connection.execute("ALTER TABLE requests ADD COLUMN notes TEXT")
        connection.execute("UPDATE schema_versions SET version = 99 WHERE name = 'requests'")


class TestStoreOfALaterVersion(RequestStoreContract):
    """An older process keeps all its promises on it."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SQLRequestStore]:
        await future(tmp_path)
        store = SQLRequestStore(SQLSettings(), tmp_path)
        await store.open()
        yield store
        await store.close()

    async def test_what_a_later_version_wrote_stays(self, store: SQLRequestStore, tmp_path: Path) -> None:
        request = await claimed(store)
        with connected(tmp_path) as connection:
            connection.execute(
                "UPDATE requests SET priority = 1, notes = 'kept', "
                "status_history = json_set(status_history, '$.paused', 5.0)"
            )
        await store.renew([(request.id, request.attempt)], "w", 60)
        done = await store.transition(
            request.id, Status.PROCESSING, request.attempt, Status.PROCESSED, result="u"
        )
        assert done is not None
        with connected(tmp_path) as connection:
            (row,) = connection.execute(
                "SELECT priority, notes, json_extract(status_history, '$.paused') FROM requests"
            )
        assert row == (1, "kept", 5.0)

    async def test_a_request_in_a_state_of_a_later_version_is_left_alone(
        self, store: SQLRequestStore, tmp_path: Path
    ) -> None:
        request, other = make(), make()
        await store.add(request)
        await store.add(other)
        with connected(tmp_path) as connection:
            connection.execute("UPDATE requests SET status = 'paused' WHERE id = ?", [request.id])
        with pytest.raises(StoreUnavailableError, match="state 'paused', of a later version"):
            await store.get(request.id)
        assert await store.find(user_id=request.user.id) == [other]
        assert await store.count(user_id=request.user.id) == 1
        assert [summary.id for summary in await store.waiting(0, None, 9)] == [other.id]
        assert await store.remove(request.id, user_id=request.user.id) is None
        # So that the garbage collector does not take its objects for orphans.
        assert await store.existing([request.id]) == {request.id}


async def test_requests_of_the_first_version_are_served(tmp_path: Path) -> None:
    """The table as it was before any column was added, and no versions in the database."""
    text = ";".join(replace(SCHEMA, added=()).statements(SQLiteDialect()))
    store = SQLRequestStore(SQLSettings(), tmp_path)
    with connected(tmp_path) as connection:
        connection.executescript(text)
        request = make()
        added = {column.name for column in SCHEMA.added}
        row = {name: value for name, value in to_row(request).items() if name not in added}
        columns = ", ".join(f'"{name}"' for name in row)
        connection.execute(f"INSERT INTO requests ({columns}) VALUES (:{', :'.join(row)})", row)
    await store.open()
    assert await store.get(request.id) == request
    await store.close()
    assert recorded(tmp_path, "requests") == [(SCHEMA.version, SCHEMA.needs)]
