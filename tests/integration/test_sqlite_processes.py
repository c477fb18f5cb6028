"""SQLite written by several processes, and SQL without drivers."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

_WRITING = """
import asyncio, sys
from pathlib import Path
from polytope_server.drivers.sql import Schema
from polytope_server.drivers.sql.address import database_at
async def main(folder, first):
    database = database_at(None, Path(folder))
    await database.open(Schema("t", 1, "CREATE TABLE IF NOT EXISTS t (n {integer} PRIMARY KEY)"))
    for n in range(first, first + 200):
        await database.write("INSERT INTO t VALUES (:n)", {"n": n})
    await database.close()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_several_processes_write_at_the_same_time(tmp_path: Path) -> None:
    firsts = (0, 1000, 2000)
    writing = [
        subprocess.Popen([sys.executable, "-c", _WRITING, str(tmp_path), str(first)]) for first in firsts
    ]
    assert [process.wait(60) for process in writing] == [0, 0, 0]
    with closing(sqlite3.connect(tmp_path / "polytope.sqlite")) as database:
        found = [n for (n,) in database.execute("SELECT n FROM t ORDER BY n")]
    assert found == [first + n for first in firsts for n in range(200)]


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
    assert "needs the Python package 'psycopg'" in done.stderr
    assert "pip install 'polytope-server[postgresql]'" in done.stderr
