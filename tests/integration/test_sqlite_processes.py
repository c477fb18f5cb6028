"""SQLite written by several processes, and SQL without drivers."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.drivers.sql import (
    Database,
    Outcome,
    Schema,
)
from polytope_server.drivers.sql.address import database_at

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


async def test_several_processes_write_at_the_same_time(database: Database, tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from polytope_server.drivers.sql import Schema
from polytope_server.drivers.sql.address import database_at
async def main(first):
    database = database_at(None, Path({str(tmp_path)!r}))
    await database.open({SCHEMA!r})
    for n in range(first, first + 200):
        await database.write({INSERT!r}, {{"n": n}})
    await database.close()
asyncio.run(main(int(sys.argv[1])))
"""
    others = [subprocess.Popen([sys.executable, "-c", script, str(1000 * n)]) for n in (1, 2)]  # noqa: ASYNC220
    for number in range(200):
        await insert(database, number)
    assert [await asyncio.to_thread(other.wait) for other in others] == [0, 0]
    assert len(await numbers(database)) == 600


def test_sqlite_needs_no_other_driver() -> None:
    script = """
import sys
sys.modules.update({"sqlalchemy": None, "psycopg": None})
from pathlib import Path
from polytope_server.drivers.sql.address import database_at
database_at(None, Path("/nowhere"))
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_driver_is_explained_when_the_configuration_is_checked() -> None:
    script = """
import sys
sys.modules["psycopg"] = None
from polytope_server.drivers.sql.address import SQLSettings
SQLSettings(url="postgresql://u:sesame@h/d")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "needs the Python package 'psycopg' (extra 'postgresql')" in done.stderr
    assert re.search(r"`.* install .*'psycopg\[binary", done.stderr)
