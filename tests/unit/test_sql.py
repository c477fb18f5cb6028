import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from polytope_server.sql import Database, DatabaseUnavailableError, SQLSettings

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.at(None, tmp_path)
    await database.open(SCHEMA)
    yield database
    await database.close()


def insert(number: int):
    return lambda connection: connection.execute("INSERT INTO t VALUES (:n)", {"n": number})


def numbers(database: Database) -> list[int]:
    return [row["n"] for row in database.read("SELECT n FROM t ORDER BY n")]


async def test_writes_that_come_together_are_all_done(database: Database) -> None:
    await asyncio.gather(*(database.write(insert(number)) for number in range(2000)))
    assert numbers(database) == list(range(2000))


async def test_a_write_that_fails_harms_no_other(database: Database) -> None:
    await database.write(insert(5))
    outcomes = await asyncio.gather(
        *(database.write(insert(number)) for number in range(10)), return_exceptions=True
    )
    assert [isinstance(outcome, sqlite3.IntegrityError) for outcome in outcomes] == [
        n == 5 for n in range(10)
    ]
    assert numbers(database) == list(range(10))


async def test_an_error_of_the_disk_is_unavailability(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(DatabaseUnavailableError, match="disk I/O error"):
        await database.write(fail)
    with pytest.raises(DatabaseUnavailableError, match="no such table"):
        database.read("SELECT * FROM missing")


async def test_a_write_that_nobody_waits_for_any_more_disturbs_nothing(database: Database) -> None:
    task = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0)
    task.cancel()
    await database.write(insert(2))
    assert 2 in numbers(database)


async def test_a_transaction_that_cannot_even_be_rolled_back_stops_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(database, "_transaction", fail)
    with pytest.raises(DatabaseUnavailableError, match="disk I/O error"):
        await database.write(insert(1))
    monkeypatch.undo()
    await database.write(insert(2))
    assert numbers(database) == [2]


async def test_a_damaged_database_is_unavailability(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(DatabaseUnavailableError, match="malformed"):
        await database.write(fail)


async def test_several_processes_write_at_the_same_time(database: Database, tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from polytope_server.sql import Database
async def main(first):
    database = Database.at(None, Path({str(tmp_path)!r}))
    await database.open({SCHEMA!r})
    for n in range(first, first + 200):
        await database.write(lambda c: c.execute("INSERT INTO t VALUES (:n)", {{"n": n}}))
    await database.close()
asyncio.run(main(int(sys.argv[1])))
"""
    others = [subprocess.Popen([sys.executable, "-c", script, str(1000 * n)]) for n in (1, 2)]  # noqa: ASYNC220
    for number in range(200):
        await database.write(insert(number))
    assert [await asyncio.to_thread(other.wait) for other in others] == [0, 0]
    assert len(numbers(database)) == 600


async def test_the_database_stays_open_until_its_last_user_closes(tmp_path: Path) -> None:
    first, second = (
        Database.at(None, tmp_path),
        Database.at(f"sqlite:///{tmp_path}/polytope.sqlite", tmp_path),
    )
    assert first is second
    await first.open(SCHEMA)
    await second.open(SCHEMA)
    await first.close()
    await second.write(insert(1))
    await second.close()
    with pytest.raises(DatabaseUnavailableError, match="not open"):
        numbers(second)


async def test_a_writer_that_cannot_lock_says_so(tmp_path: Path) -> None:
    (tmp_path / "polytope.sqlite.lock").mkdir()
    database = Database.at(None, tmp_path)
    with pytest.raises(DatabaseUnavailableError, match="cannot write"):
        await database.open(SCHEMA)


@pytest.mark.parametrize("url", ["postgresql://x/y", "sqlite:///", "requests.sqlite"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="sqlite:///PATH"):
        SQLSettings(url=url)
