"""SQLite as the embedded database of several processes: quick reads, durable writes in groups.

Reads run in the event loop, on a connection of their own: in WAL mode they never wait for a writer.
Writes of a process run in one thread, which commits everything that came in meanwhile as one transaction
(group commit), so that the cost of making it durable is shared. Writers of several processes take turns
by a lock on a file: SQLite alone would make them poll, with sleeps of many milliseconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

from polytope_server.schema_version import Stored, must_upgrade
from polytope_server.sql import (
    CREATE_VERSIONS,
    RECORD_VERSION,
    VERSIONS,
    Column,
    Database,
    DatabaseUnavailableError,
    Dialect,
    Outcome,
    Parameters,
    Row,
    Schema,
    Statement,
    UniqueViolationError,
    recorded,
)

_Job = tuple[Sequence[Statement], "Future[list[Outcome]]"]

#: So many writes at most share one transaction; bounds the time that the first of them waits.
_GROUP = 512
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class SQLiteDialect(Dialect):
    """The SQL of SQLite."""

    types: ClassVar = {
        "sequence": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "text": "TEXT",
        "integer": "INTEGER",
        "real": "REAL",
        "bytes": "BLOB",
        "by_key": "WITHOUT ROWID",
    }
    clock = "((julianday('now') - 2440587.5) * 86400.0)"
    held = ""  # a transaction that writes is alone

    def among(self, expression: str, name: str) -> str:
        return f"{expression} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608

    def listed(self, texts: Sequence[str]) -> Any:
        return json.dumps(list(texts))

    def not_sought(self, column: str) -> str:
        return f"+{column}"

    def with_default(self, column: str, key: str, value: str) -> str:
        return f"json_insert({column}, '$.' || :{key}, :{value})"

    def in_order(self, table: str, key: str, where: str) -> str:
        return where


class SQLite(Database):
    """One file."""

    dialect = SQLiteDialect()
    _instances: ClassVar[dict[Path, SQLite]] = {}

    def __init__(self, path: Path) -> None:
        self._path = path
        self._users = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None

    @classmethod
    def of(cls, path: Path) -> SQLite:
        """The database in that file."""
        path = path.resolve()
        return cls._instances.setdefault(path, cls(path))

    async def open(self, schema: Schema) -> None:
        if self._reader is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._reader = self._connect()
            except (OSError, sqlite3.Error) as error:
                raise DatabaseUnavailableError(f"cannot open the database {self._path}: {error}") from error
            self._thread = threading.Thread(target=self._run, name=f"sql {self._path.name}", daemon=True)
            self._thread.start()
        self._users += 1
        try:
            await self._create(schema)
        except BaseException:
            await self.close()
            raise

    async def _create(self, schema: Schema) -> None:
        stored = await self._stored(schema)
        if not must_upgrade(f"the table {schema.name} of {self._path}", stored, schema):
            return
        while True:
            columns = [column for column in schema.added if not await self._has(column)]
            created = [*schema.statements(self.dialect), *(one.statement(self.dialect) for one in columns)]
            statements: list[Statement] = [(statement, {}) for statement in [*created, CREATE_VERSIONS]]
            try:
                await self.write_all([*statements, (RECORD_VERSION, recorded(schema))])
                return
            except DatabaseUnavailableError:
                # Another process was quicker with a column: what is left is to be done all the same.
                if not any([await self._has(column) for column in columns]):
                    raise

    async def _stored(self, schema: Schema) -> Stored | None:
        """The version of the tables that are there."""
        if not await self.read("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": VERSIONS}):
            return None
        sql = "SELECT version, needs FROM schema_versions WHERE name = :name"
        rows = await self.read(sql, {"name": schema.name})
        return Stored(*rows[0]) if rows else None

    async def _has(self, column: Column) -> bool:
        sql = "SELECT 1 FROM pragma_table_info(:table) WHERE name = :name"
        return bool(await self.read(sql, {"table": column.table, "name": column.name}))

    async def close(self) -> None:
        self._users -= 1
        if self._users > 0 or self._thread is None or self._reader is None:
            return
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)
        self._reader.close()
        self._reader = None

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        # PERF: blocks the loop, for less time than a thread would need to answer.
        if self._reader is None:
            raise DatabaseUnavailableError(f"the database {self._path} is not open")
        try:
            return self._reader.execute(sql, parameters or {}).fetchall()
        except sqlite3.Error as error:
            raise DatabaseUnavailableError(f"cannot read the database {self._path}: {error}") from error

    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        future: Future[list[Outcome]] = Future()
        self._jobs.put((statements, future))
        return await asyncio.wrap_future(future)

    # -- the writer's thread -------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        # A commit is on disk when it returns: an accepted request survives a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # 16 MiB: else the log of a large transaction keeps its size on the disk for ever.
        connection.execute("PRAGMA journal_size_limit=16777216")
        return connection

    def _run(self) -> None:
        try:
            connection = self._connect()
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, sqlite3.Error) as error:
            self._refuse(error)
            return
        ending = False
        while not ending:
            job = self._jobs.get()
            group: list[_Job] = []
            while job is not None:
                group.append(job)
                if len(group) >= _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            ending = job is None
            if group:
                try:
                    self._commit(connection, lock, group)
                except (OSError, sqlite3.Error) as error:  # the lock, or a rollback that failed
                    connection.close()
                    connection = self._connect()
                    _settle(group, [DatabaseUnavailableError(f"cannot write: {error}")] * len(group))
        connection.close()
        os.close(lock)

    def _refuse(self, error: Exception) -> None:
        while (job := self._jobs.get()) is not None:
            job[1].set_exception(DatabaseUnavailableError(f"cannot write {self._path}: {error}"))

    def _commit(self, connection: sqlite3.Connection, lock: int, group: list[_Job]) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            outcomes = self._transaction(connection, group)
            if outcomes is None:  # something failed: each on its own, so that it harms nobody else
                outcomes = []
                for job in group:
                    outcomes += self._transaction(connection, [job], alone=True) or []
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
        _settle(group, outcomes)

    @staticmethod
    def _transaction(
        connection: sqlite3.Connection, group: list[_Job], alone: bool = False
    ) -> list[list[Outcome] | Exception] | None:
        """What all the statements did, None (or the exception, if `alone`) when it was rolled back."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            results: list[list[Outcome] | Exception] = [
                [_outcome(connection.execute(*statement)) for statement in statements]
                for statements, _ in group
            ]
            connection.execute("COMMIT")
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [_explained(error)] if alone else None
        return results


def _outcome(cursor: sqlite3.Cursor) -> Outcome:
    # A statement has run, and its count is known, only when its rows were fetched.
    return Outcome(cursor.fetchall(), cursor.rowcount)


def _explained(error: Exception) -> Exception:
    if isinstance(error, sqlite3.IntegrityError):
        return UniqueViolationError(str(error)) if error.sqlite_errorcode in _UNIQUE else error
    if isinstance(error, sqlite3.Error):
        return DatabaseUnavailableError(f"cannot write the database: {error}")
    return error


def _settle(group: list[_Job], outcomes: Sequence[list[Outcome] | Exception]) -> None:
    """Tell those who wait; some may have gone."""
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if future.done() or not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
