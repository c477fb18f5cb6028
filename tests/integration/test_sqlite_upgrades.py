"""Several processes that upgrade the tables of one SQLite database at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from polytope_server.drivers.sql import Column, Schema
from polytope_server.drivers.sql.address import database_at
from polytope_server.drivers.sql.sqlite import SQLiteDialect
from polytope_server.request_store.sql.rows import SCHEMA

FIRST = Schema("t", 1, "CREATE TABLE IF NOT EXISTS t (n {integer} PRIMARY KEY)")


async def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    database = database_at(None, tmp_path)
    await database.open(FIRST)
    await database.close()
    columns = tuple(Column("t", f"c{number}", "{text} NOT NULL DEFAULT ''") for number in range(20))
    script = f"""
import asyncio
from pathlib import Path
from polytope_server.drivers.sql import Column, Schema
from polytope_server.drivers.sql.address import database_at
async def main():
    database = database_at(None, Path({str(tmp_path)!r}))
    print(flush=True); input()
    await database.open({replace(FIRST, version=3, added=columns)!r})
    await database.close()
asyncio.run(main())
"""
    others = [
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    for other in others:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline)
    for other in others:
        assert other.stdin is not None
        other.stdin.write(b"\n")
        other.stdin.flush()
    assert [(await asyncio.to_thread(other.communicate)) and other.returncode for other in others] == [0] * 6
    with closing(sqlite3.connect(tmp_path / "polytope.sqlite")) as connection:
        found = connection.execute("SELECT version, needs FROM schema_versions WHERE name = 't'").fetchall()
    assert found == [(3, 1)]


def test_of_many_processes_that_add_a_column_none_fails(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "polytope.sqlite")) as earlier:
        for statement in SCHEMA.statements(SQLiteDialect()):
            earlier.execute(statement)
    script = f"""
import asyncio, sys
from pathlib import Path
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.drivers.sql import Parameters, Row
from polytope_server.drivers.sql.sqlite import SQLiteDialect
async def main():
    store = SQLRequestStore(SQLSettings(), Path({str(tmp_path)!r}))
    sys.stdin.read()
    await store.open()
    await store.close()
asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # all begin at once
    assert [process.wait(60) for process in processes] == [0] * 4
