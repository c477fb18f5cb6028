import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from pydantic import ValidationError

from polytope_server.drivers.sql import (
    Database,
    DatabaseUnavailableError,
    Outcome,
    Schema,
    UniqueViolationError,
    sqlite,
    sqlite_writer,
)
from polytope_server.drivers.sql.address import SQLSettings, database_at
from polytope_server.drivers.sql.sqlite import SQLite
from polytope_server.drivers.sql.sqlite_writer import Writer

SCHEMA = Schema("t", 1, "CREATE TABLE IF NOT EXISTS t (n {integer} PRIMARY KEY, x {real} NOT NULL)")
INSERT = "INSERT INTO t VALUES (:n, 0.5)"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = database_at(None, tmp_path)
    await database.open(SCHEMA)
    yield database
    await database.close()


async def insert(database: Database, number: int) -> Outcome:
    return await database.write(INSERT, {"n": number})


async def numbers(database: Database) -> list[int]:
    return [row[0] for row in await database.read("SELECT n FROM t ORDER BY n")]


async def test_writes_that_come_together_are_all_done(database: Database) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(2000)))
    assert await numbers(database) == list(range(2000))


async def test_a_write_that_fails_harms_no_other(database: Database) -> None:
    await insert(database, 5)
    outcomes = await asyncio.gather(
        *(insert(database, number) for number in range(10)), return_exceptions=True
    )
    assert [isinstance(outcome, UniqueViolationError) for outcome in outcomes] == [n == 5 for n in range(10)]
    assert await numbers(database) == list(range(10))


async def test_statements_of_one_transaction_are_all_done_or_none(database: Database) -> None:
    with pytest.raises(UniqueViolationError):
        await database.write_all([(INSERT, {"n": 1}), (INSERT, {"n": 1})])
    assert await numbers(database) == []
    await database.write_all([(INSERT, {"n": 1}), (INSERT, {"n": 2})])
    assert await numbers(database) == [1, 2]


async def test_the_log_of_a_large_transaction_does_not_stay(database: Database, tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1500000)"
    await database.write(f"INSERT INTO t {numbers} SELECT n, 0.5 FROM c")
    (log,) = tmp_path.glob("*-wal")
    assert log.stat().st_size > 16 << 20
    await insert(database, 0)
    assert log.stat().st_size <= 16 << 20


async def test_an_outcome_tells_rows_and_how_many(database: Database) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(3)))
    assert await database.write("UPDATE t SET x = 1.5 WHERE n > :n", {"n": 0}) == ([], 2)
    assert await database.write("DELETE FROM t WHERE n = 1 RETURNING n, x") == ([(1, 1.5)], 1)


async def test_another_violation_is_no_violation_of_a_key(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        await database.write("INSERT INTO t VALUES (1, NULL)")


async def test_an_error_of_the_database_is_unavailability(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="no such table"):
        await database.write("DELETE FROM missing")
    with pytest.raises(DatabaseUnavailableError, match="no such table"):
        await database.read("SELECT * FROM missing")


async def test_a_write_that_is_not_waited_for_any_more_disturbs_nothing(database: Database) -> None:
    task = asyncio.create_task(insert(database, 1))
    await asyncio.sleep(0)
    task.cancel()
    await insert(database, 2)
    assert 2 in await numbers(database)


async def test_a_transaction_that_cannot_even_be_rolled_back_stops_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Writer, "_transaction", fail)
    with pytest.raises(DatabaseUnavailableError, match="disk I/O error"):
        await insert(database, 1)
    monkeypatch.undo()
    await insert(database, 2)
    assert await numbers(database) == [2]


async def test_a_damaged_database_is_unavailability(database: Database, tmp_path: Path) -> None:
    await insert(database, 1)
    await database.close()
    file = tmp_path / "polytope.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(DatabaseUnavailableError, match="not a database"):
        await database.open(SCHEMA)
    file.unlink()
    await database.open(SCHEMA)  # for the fixture to close


async def test_a_schema_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    database = database_at(None, tmp_path)
    with pytest.raises(DatabaseUnavailableError, match="syntax error"):
        await database.open(Schema("t", 1, "CREATE SOMETHING"))
    with pytest.raises(DatabaseUnavailableError, match="not open"):
        await numbers(database)
    await database.open(SCHEMA)
    assert await numbers(database) == []
    await database.close()


async def test_the_database_stays_open_until_its_last_user_closes(tmp_path: Path) -> None:
    first, second = (
        database_at(None, tmp_path),
        database_at(f"sqlite:///{tmp_path}/polytope.sqlite", tmp_path),
    )
    assert first is second
    await first.open(SCHEMA)
    await second.open(SCHEMA)
    await first.close()
    await insert(second, 1)
    await second.close()
    with pytest.raises(DatabaseUnavailableError, match="not open"):
        await numbers(second)


async def test_a_writer_that_cannot_lock_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "polytope.sqlite.lock"
    lock.mkdir()
    database = database_at(None, tmp_path)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError, match="cannot write"):
            await database.open(SCHEMA)
    lock.rmdir()
    await database.open(SCHEMA)
    await insert(database, 1)
    await database.close()


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[IO[str]]:
    """The lock of the writers, in the hands of a process that hangs."""
    with (tmp_path / "polytope.sqlite.lock").open("w") as lock:
        yield lock


async def test_a_write_waits_a_bounded_time_for_a_process_that_hangs_with_the_lock(
    database: Database, hanging: IO[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WRITE_TIME", 0.05)
    fcntl.flock(hanging, fcntl.LOCK_EX)
    for number in (1, 2):
        with pytest.raises(DatabaseUnavailableError, match=r"within 0\.05 s: another process holds its lock"):
            await insert(database, number)
    assert await numbers(database) == []
    monkeypatch.undo()
    fcntl.flock(hanging, fcntl.LOCK_UN)
    await insert(database, 3)
    # What was refused before it had begun is not done later.
    assert await numbers(database) == [3]


async def test_a_database_that_is_not_open_refuses_writes(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="not open"):
        await database_at(None, tmp_path).write("DELETE FROM t")


async def test_a_writer_that_hangs_does_not_keep_the_process(
    tmp_path: Path, hanging: IO[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WRITE_TIME", 0.05)
    monkeypatch.setattr(sqlite_writer, "_CLOSING_TIME", 0.05)
    database = database_at(None, tmp_path)
    await database.open(SCHEMA)
    fcntl.flock(hanging, fcntl.LOCK_EX)
    with pytest.raises(DatabaseUnavailableError):
        await insert(database, 1)
    await database.close()
    monkeypatch.undo()
    fcntl.flock(hanging, fcntl.LOCK_UN)
    await database.open(SCHEMA)
    await insert(database, 2)
    assert await numbers(database) == [2]
    await database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///", "requests.sqlite", "postgresql:x"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="sqlite:///PATH, or postgresql://"):
        SQLSettings(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sesame@h:port/d",
        "postgresql://u:ses@me@h:5432/d/e",
        "postgresql://u:sesame@h/d?sslmod=require",
        "postgresql://u:sesame@[h/d",
        "postgresql://u:sesame@h/d?host=other&host=another",
        "postgresql://u:sesame@h/d?sslmode",
    ],
)
def test_a_wrong_address_of_postgresql_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValidationError, match="no address of a PostgreSQL database") as caught:
        SQLSettings(url=url)
    assert "sesame" not in str(caught.value)
    assert "ses@me" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_addresses_of_postgresql_and_their_options(scheme: str) -> None:
    from polytope_server.drivers.sql.postgresql_connection import connect_arguments

    url = f"{scheme}://u:p%40%2F@h:5433/d?sslmode=verify-full&connect_timeout=9"
    settings = SQLSettings(url=url)
    assert settings.url == url
    assert "p%40" not in repr(settings)
    arguments = connect_arguments(url)
    expected: dict[str, Any] = {"host": "h", "port": "5433", "user": "u", "password": "p@/", "dbname": "d"}
    expected |= {"sslmode": "verify-full", "connect_timeout": "9", "keepalives_idle": "5"}
    assert arguments | expected == arguments


@pytest.mark.parametrize("password", ["p/w", "p?w", "p#w", "p:w", "p%w", "p w", "p+w", "p&w=", "ü"])
def test_a_password_with_special_characters_needs_no_escapes(password: str) -> None:
    from polytope_server.drivers.sql.postgresql_connection import connect_arguments

    expected = {
        "user": "u",
        "password": password,
        "host": "h",
        "port": "1",
        "dbname": "d",
        "sslmode": "allow",
    }
    found = connect_arguments(f"postgresql://u:{password}@h:1/d?sslmode=allow")
    assert found | expected == found


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("", {}),
        ("options=-c+statement_timeout%3D9s", {"options": "-c statement_timeout=9s"}),
        ("options=-c%20statement_timeout=9s", {"options": "-c statement_timeout=9s"}),
        ("host=/run/postgresql", {"host": "/run/postgresql"}),
        ("application_name=a%2Bb", {"application_name": "a+b"}),
    ],
)
def test_options_of_an_address_are_decoded(options: str, arguments: dict[str, str]) -> None:
    from polytope_server.drivers.sql.postgresql_connection import connect_arguments

    found = connect_arguments(f"postgresql:///d?{options}")
    assert found | arguments == found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_1 WHERE x=:a", b"SELECT %(a)s, %(b_1)s WHERE x=%(a)s"),
        ("SELECT x::text LIKE '%y' FROM t", b"SELECT x::text LIKE '%%y' FROM t"),
        ("SELECT CAST(:a AS TEXT[])::text", b"SELECT CAST(%(a)s AS TEXT[])::text"),
    ],
)
def test_parameters_are_named_as_the_driver_of_postgresql_does(sql: str, expected: bytes) -> None:
    from polytope_server.drivers.sql.postgresql_text import _for_driver

    assert _for_driver(sql) == expected


def test_one_database_of_an_address_in_a_process(tmp_path: Path) -> None:
    url = "postgresql://u@h/d"
    assert database_at(url, tmp_path) is database_at(url, tmp_path / "other")
    assert isinstance(database_at(None, tmp_path), SQLite)


@pytest.mark.parametrize(
    "text", ["", "a", "\x00", "\x1a", "\x1a0", "\x1a1", "a\x00\x1a\x1a\x001", "\x000", "é"]
)
def test_every_text_comes_back_from_postgresql(text: str) -> None:
    from polytope_server.drivers.sql.postgresql_text import decoded, encoded

    parameters = encoded({"one": text, "list": [text], "other": 1})
    assert "\x00" not in parameters["one"]
    assert decoded([(parameters["one"], *parameters["list"], parameters["other"])]) == [(text, text, 1)]
