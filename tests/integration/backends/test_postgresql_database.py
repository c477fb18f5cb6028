"""The database itself: transactions, outages, and what happens when the server does not answer."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from polytope_server.drivers.sql import Database, DatabaseUnavailableError, Schema, UniqueViolationError
from polytope_server.drivers.sql import postgresql as module
from polytope_server.drivers.sql.address import database_at
from polytope_server.testing.waiting import until
from testbed.services import PostgreSQL

NOWHERE = Path("/nowhere")
SCHEMA = Schema(
    "numbers",
    1,
    "CREATE TABLE IF NOT EXISTS numbers (n {integer} PRIMARY KEY, x {real}, t {text}, b {bytes}) {by_key}",
)
INSERT = "INSERT INTO numbers (n) VALUES (:n)"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
async def database(own: PostgreSQL) -> AsyncIterator[Database]:
    database = database_at(own.url, NOWHERE)
    await database.open(SCHEMA)
    await database.write("DELETE FROM numbers")
    yield database
    await database.close()


@pytest.fixture
def outside(own: PostgreSQL) -> Iterator[psycopg.Connection]:
    """A connection of another program."""
    with psycopg.connect(own.url, autocommit=True) as connection:
        yield connection


async def insert(database: Database, number: int) -> None:
    await database.write(INSERT, {"n": number})


async def numbers(database: Database) -> list[int]:
    return [row[0] for row in await database.read("SELECT n FROM numbers ORDER BY n")]


async def works_within(database: Database, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                await database.write("UPDATE numbers SET n = n")
                return
            except DatabaseUnavailableError:
                await asyncio.sleep(0.05)


async def test_values_come_back_as_they_were(database: Database) -> None:
    values = {"n": 2**62, "x": 1_700_000_000.123456, "t": "a\x00b\x1a0é\ud7ff", "b": b"\x00\xff"}
    await database.write("INSERT INTO numbers (n, x, t, b) VALUES (:n, :x, :t, :b)", values)
    assert await database.read("SELECT n, x, t, b FROM numbers") == [tuple(values.values())]
    assert await database.read("SELECT n FROM numbers WHERE t = :t", values) == [(2**62,)]


async def test_a_transaction_is_done_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(UniqueViolationError):
        await database.write_all([(INSERT, {"n": 1}), (INSERT, {"n": 1})])
    assert await numbers(database) == []
    outcomes = await database.write_all([(INSERT, {"n": 1}), ("UPDATE numbers SET n = 2 RETURNING n", {})])
    assert outcomes == [([], 1), ([(2,)], 1)]
    assert await numbers(database) == [2]


async def test_more_calls_than_connections_wait_for_one(database: Database) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(300)))
    assert await numbers(database) == list(range(300))


async def test_no_error_holds_a_value_or_the_password(database: Database, own: PostgreSQL) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        await database.write("UPDATE missing SET a = :a", {"a": "sesame"})
    assert "sesame" not in repr(caught.value.__cause__)
    assert str(caught.value).startswith(f"PostgreSQL at 127.0.0.1:{own.port}/polytope: relation")
    wrong = database_at(own.url.replace("tests@", "Sesame@"), NOWHERE)
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed") as caught:
        await wrong.open(SCHEMA)
    assert "Sesame" not in str(caught.value)


async def test_a_killed_server_is_found_again_when_it_is_back(
    own: PostgreSQL, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(30)))
    own.kill()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailableError, match=r"refused|terminat|closed"):
            await numbers(database)
        assert time.monotonic() - began < 1
    with pytest.raises(DatabaseUnavailableError, match=f"127.0.0.1:{own.port}"):
        await insert(database, 100)
    own.start()
    # Not one call fails after the return.
    assert await asyncio.gather(*(numbers(database) for _ in range(20))) == [list(range(30))] * 20
    await insert(database, 100)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_connections_that_the_server_ended_are_replaced_before_use(
    database: Database, outside: psycopg.Connection
) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(30)))
    ended = outside.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'polytope-server'"
    ).fetchall()
    assert len(ended) > 1
    await asyncio.gather(*(insert(database, number) for number in range(100, 130)))
    assert len(await numbers(database)) == 60


async def test_a_statement_under_way_when_the_server_dies_is_unavailability(
    own: PostgreSQL, database: Database, outside: psycopg.Connection
) -> None:
    waiting = asyncio.create_task(database.read("SELECT pg_sleep(4)"))
    await active(outside)
    own.kill()
    with pytest.raises(DatabaseUnavailableError):
        await waiting
    own.start()
    await works_within(database, 2)


async def active(outside: psycopg.Connection) -> None:
    """Wait until a statement of ours runs."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
        "AND application_name = 'polytope-server' AND query NOT LIKE '%pg_stat_activity%'"
    )
    while outside.execute(sql).fetchone() == (0,):  # noqa: ASYNC110 -- a condition of the server
        await asyncio.sleep(0.01)


async def test_it_opens_again_after_it_could_not(own: PostgreSQL) -> None:
    database = database_at(own.url, NOWHERE)
    own.kill()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError, match="refused"):
            await database.open(SCHEMA)
    with pytest.raises(DatabaseUnavailableError, match="not open"):
        await numbers(database)
    own.start()
    await database.open(SCHEMA)
    await numbers(database)
    await database.close()


async def test_a_server_that_does_not_answer_is_left_in_time(
    own: PostgreSQL, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPERATION_TIME", 0.5)
    await asyncio.gather(*(insert(database, number) for number in range(8)))
    server = psutil.Process(own.process.pid)
    frozen = [server, *server.children(recursive=True)]
    for process in frozen:
        process.suspend()
    try:
        for _ in range(2):
            began = time.monotonic()
            calls = [numbers(database) for _ in range(4)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(outcome, DatabaseUnavailableError) for outcome in outcomes), outcomes
            assert time.monotonic() - began < 4
    finally:
        for process in frozen:
            process.resume()
    await works_within(database, 2)


async def test_the_server_ends_a_statement_that_takes_too_long(own: PostgreSQL) -> None:
    options = "-c%20statement_timeout=100ms"
    database = database_at(f"{own.url}?options={options}", NOWHERE)
    await database.open(SCHEMA)
    with pytest.raises(DatabaseUnavailableError, match="statement timeout"):
        await database.read("SELECT pg_sleep(3)")
    assert isinstance(await numbers(database), list)
    await database.close()


async def test_a_cancelled_call_gives_its_connection_back(
    database: Database, outside: psycopg.Connection
) -> None:
    for _ in range(20):
        call = asyncio.create_task(database.read("SELECT pg_sleep(4)"))
        await active(outside)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.gather(*(insert(database, number) for number in range(30)))


async def test_all_connections_in_use_is_unavailability(
    own: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POOL_TIME", 0.2)
    database = module.PostgreSQL(own.url)
    await database.open(SCHEMA)
    busy = [asyncio.create_task(database.read("SELECT pg_sleep(2)")) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailableError, match="all 8 connections are in use"):
        await numbers(database)
    await asyncio.gather(*busy)
    await numbers(database)
    await database.close()


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    for number in range(2):
        await insert(database, number)
    there, back = (
        [("UPDATE numbers SET x = 1 WHERE n = :n", {"n": n}), ("SELECT pg_sleep(0.2)", {}),
         ("UPDATE numbers SET x = 1 WHERE n = :n", {"n": 1 - n})]
        for n in (0, 1)
    )  # fmt: skip
    await asyncio.gather(database.write_all(there), database.write_all(back))


async def test_many_processes_create_the_tables_at_the_same_time(
    own: PostgreSQL, outside: psycopg.Connection
) -> None:
    outside.execute("DROP TABLE IF EXISTS schema_versions, numbers")
    script = f"""
import asyncio
from pathlib import Path
from polytope_server.drivers.sql import Schema
from polytope_server.drivers.sql.address import database_at
async def main():
    database = database_at({own.url!r}, Path("/nowhere"))
    await database.open({SCHEMA!r})
    await database.close()
asyncio.run(main())
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(6)]  # noqa: ASYNC220
    assert [await asyncio.to_thread(process.wait) for process in processes] == [0] * 6


async def test_tables_are_created_once_for_each_version(
    own: PostgreSQL, database: Database, outside: psycopg.Connection
) -> None:
    tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'more%'"
    more = Schema("more", 2, "CREATE TABLE more1 (n {integer})")
    for _ in range(2):  # the second time, it would fail
        await database.open(more)
        await database.close()
    assert outside.execute(tables).fetchone() == (1,)
    # A server of an earlier version leaves what a later one made.
    await database.open(Schema("more", 1, "CREATE TABLE more0 (n {integer})"))
    await database.close()
    assert outside.execute(tables).fetchone() == (1,)
    with pytest.raises(DatabaseUnavailableError, match="already exists"):
        await database.open(
            Schema("more", 3, "CREATE TABLE more2 (n {integer}); CREATE TABLE more1 (n {integer})")
        )
    assert outside.execute(tables).fetchone() == (1,)
    await database.open(Schema("more", 3, "CREATE TABLE more2 (n {integer})"))
    await database.close()
    assert outside.execute("SELECT version FROM schema_versions WHERE name = 'more'").fetchone() == (3,)


async def test_a_database_of_another_encoding_is_refused(
    own: PostgreSQL, outside: psycopg.Connection
) -> None:
    outside.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    database = database_at(own.url.replace("/polytope", "/latin"), NOWHERE)
    with pytest.raises(DatabaseUnavailableError, match="encoding LATIN1: UTF8 is needed"):
        await database.open(SCHEMA)


async def test_an_account_that_may_not_create_tables_uses_those_that_are_there(
    own: PostgreSQL, database: Database, outside: psycopg.Connection
) -> None:
    outside.execute("CREATE ROLE modest LOGIN PASSWORD 'modest'")
    modest = database_at(f"postgresql://modest:modest@127.0.0.1:{own.port}/polytope", NOWHERE)
    with pytest.raises(DatabaseUnavailableError, match="permission denied"):
        await modest.open(SCHEMA)
    outside.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO modest")
    await modest.open(SCHEMA)
    await insert(modest, 7)
    await modest.close()
    assert await numbers(database) == [7]


#: Indexes that a later version gives to the table.
INDEXED = Schema("numbers", 2, f"{SCHEMA.text}; CREATE INDEX IF NOT EXISTS numbers_t ON numbers (t)")
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('numbers_t')"


@pytest.fixture
async def first_version(database: Database, outside: psycopg.Connection) -> None:
    """The table as its first version made it."""
    outside.execute("DROP INDEX IF EXISTS numbers_t")
    outside.execute("UPDATE schema_versions SET version = 1 WHERE name = 'numbers'")


_WAITS = "query LIKE 'CREATE INDEX%numbers_t%' AND wait_event_type = 'Lock'"


async def builds_the_index(outside: psycopg.Connection) -> None:
    """Wait until a process builds it, and waits for others in that."""
    sql = f"SELECT 1 FROM pg_stat_activity WHERE {_WAITS}"
    await until(lambda: outside.execute(sql).fetchall())


@pytest.mark.usefixtures("first_version")
async def test_an_index_is_built_while_others_write(own: PostgreSQL, outside: psycopg.Connection) -> None:
    newer = database_at(f"{own.url}?application_name=newer", NOWHERE)
    with psycopg.connect(own.url) as writer:
        writer.execute("INSERT INTO numbers (n) VALUES (1)")  # not yet committed
        opening = asyncio.create_task(newer.open(INDEXED))
        await builds_the_index(outside)
        outside.execute("SET lock_timeout = '2s'")
        outside.execute("INSERT INTO numbers (n) VALUES (2)")
        assert not opening.done()
    await opening
    assert outside.execute(_IS_VALID).fetchall() == [(True,)]
    assert await numbers(newer) == [1, 2]
    await newer.close()


@pytest.mark.usefixtures("first_version")
async def test_an_index_whose_making_was_broken_off_is_made_again(
    own: PostgreSQL, outside: psycopg.Connection
) -> None:
    newer = database_at(f"{own.url}?application_name=newer", NOWHERE)
    with psycopg.connect(own.url) as writer:
        writer.execute("INSERT INTO numbers (n) VALUES (1)")
        opening = asyncio.create_task(newer.open(INDEXED))
        await builds_the_index(outside)
        outside.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_WAITS}")
        with pytest.raises(DatabaseUnavailableError):
            await opening
    assert outside.execute(_IS_VALID).fetchall() == [(False,)]
    await newer.open(INDEXED)
    assert outside.execute(_IS_VALID).fetchall() == [(True,)]
    await newer.close()


@pytest.mark.usefixtures("first_version")
async def test_processes_that_start_together_build_an_index_once(
    own: PostgreSQL, outside: psycopg.Connection
) -> None:
    starting = [database_at(f"{own.url}?application_name=newer{n}", NOWHERE) for n in range(4)]
    await asyncio.gather(*(database.open(INDEXED) for database in starting))
    assert outside.execute(_IS_VALID).fetchall() == [(True,)]
    assert outside.execute("SELECT version FROM schema_versions WHERE name = 'numbers'").fetchall() == [(2,)]
    await asyncio.gather(*(database.close() for database in starting))
