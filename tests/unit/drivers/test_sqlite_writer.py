"""The thread that writes to SQLite, with connections of the test's own."""

import asyncio
import fcntl
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from polytope_server.drivers.sql import DatabaseUnavailableError, Outcome, sqlite_writer
from polytope_server.drivers.sql.sqlite_writer import Writer
from polytope_server.testing.waiting import until

Connect = Callable[[], sqlite3.Connection]
#: Opens a writer whose connections the given function makes.
Write = Callable[[Connect], AbstractAsyncContextManager[Writer]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "polytope.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    return path


@pytest.fixture
def writing(path: Path) -> Write:
    @asynccontextmanager
    async def write(connect: Connect) -> Any:
        writer = Writer(path, connect)
        try:
            yield writer
        finally:
            await writer.close()

    return write


def connected(path: Path, seconds: float = 5.0) -> sqlite3.Connection:
    """A connection that waits for the locks of others for so long."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=seconds)


async def insert(writer: Writer, number: int) -> list[Outcome]:
    return await writer.write([("INSERT INTO t VALUES (:n)", {"n": number})], 5.0)


def numbers(path: Path) -> list[int]:
    with closing(connected(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


async def test_while_another_process_has_the_lock_a_bounded_number_of_writes_waits(
    path: Path, writing: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_MOST_WAITING", 3)
    begun = threading.Event()

    def connect() -> sqlite3.Connection:
        begun.set()
        return connected(path)

    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with writing(connect) as writer:
            first = asyncio.create_task(insert(writer, 0))
            await until(begun.is_set)  # it waits for the lock, and no more in the queue
            others = [asyncio.create_task(insert(writer, number)) for number in (1, 2, 3)]
            await asyncio.sleep(0)
            with pytest.raises(DatabaseUnavailableError, match="3 writes wait already"):
                await insert(writer, 4)
            fcntl.flock(lock, fcntl.LOCK_UN)
            await asyncio.gather(first, *others)
    assert numbers(path) == [0, 1, 2, 3]


async def test_writes_wait_once_for_a_program_that_writes_without_the_lock(
    path: Path, writing: Write
) -> None:
    """A backup, or an operator at the prompt of SQLite: not again for each write of a group."""
    statements: list[str] = []

    def connect() -> sqlite3.Connection:
        connection = connected(path, 0.0)
        connection.set_trace_callback(statements.append)
        return connection

    async with writing(connect) as writer:
        with closing(connected(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            writes = (insert(writer, number) for number in range(1, 20))
            refused = await asyncio.gather(*writes, return_exceptions=True)
            assert all(isinstance(found, DatabaseUnavailableError) for found in refused)
            # Once for each group: each on its own as well would be more.
            assert 0 < statements.count("BEGIN IMMEDIATE") <= len(refused)
            other.execute("ROLLBACK")
        await insert(writer, 20)
    assert numbers(path) == [20]


async def test_a_writer_whose_files_are_gone_for_a_while_goes_on(path: Path, writing: Write) -> None:
    failures = [OSError("too many open files")] * 2

    def connect() -> sqlite3.Connection:
        if failures:
            raise failures.pop()
        return connected(path)

    async with writing(connect) as writer:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="too many open files"):
                await insert(writer, 1)
        await insert(writer, 2)
    assert numbers(path) == [2]
