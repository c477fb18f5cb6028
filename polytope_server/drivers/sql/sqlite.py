"""SQLite as the embedded database of several processes: quick reads, durable writes in groups.

Reads run in the event loop, on a connection of their own: in WAL mode they never wait for a writer. What
counts many rows runs in a thread, on a third one.
Writes of a process run in one thread (:mod:`polytope_server.drivers.sql.sqlite_writer`), which commits
everything that came in meanwhile as one transaction (group commit), so that the cost of making it durable is
shared.
Writers of several processes take turns by a lock on a file: SQLite alone would make them poll, with sleeps of
many milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from polytope_server.drivers.instances import Instances
from polytope_server.drivers.schema_version import Stored, must_upgrade
from polytope_server.drivers.sql import (
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
    recorded,
    text_size,
)
from polytope_server.drivers.sql.sqlite_errors import translate
from polytope_server.drivers.sql.sqlite_writer import Writer

#: Seconds for a write, with the wait for its turn; and for the creation of tables and indexes.
_WRITE_TIME, _SCHEMA_TIME = 5.0, 600.0
#: Seconds that SQLite waits for a lock of its own, which only other programs hold for that long: a writer;
#: and a reader, which holds up the event loop.
_WRITER_LOCK_TIME, _READER_LOCK_TIME = 3.0, 1.0


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
    # To the millisecond, as SQLite has it: its JSON functions keep 15 digits of a number.
    clock = "round((julianday('now') - 2440587.5) * 86400.0, 3)"
    began = clock
    held = ""  # a transaction that writes is alone
    octets = "length(CAST({} AS BLOB))"
    on_primary = "TRUE"

    def among(self, expression: str, name: str) -> str:
        return f"{expression} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608

    def listed(self, texts: Sequence[str]) -> Any:
        return json.dumps(list(texts))

    def not_sought(self, column: str) -> str:
        return f"+{column}"

    def by_index(self, table: str, index: str) -> str:
        return f"{table} INDEXED BY {index}"  # it does not count what an index leaves out

    def with_default(self, column: str, key: str, value: str) -> str:
        return f"json_insert({column}, '$.' || :{key}, {value})"

    def merged(self, queries: Sequence[str], order: str) -> str:
        # One row of each query is in memory.
        return f"{' UNION ALL '.join(queries)} ORDER BY {order} LIMIT :limit"

    def in_order(self, table: str, key: str, where: str) -> str:
        return where


class SQLite(Database):
    """One file."""

    dialect = SQLiteDialect()
    _instances: ClassVar[Instances[SQLite]] = Instances()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._users = 0
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._aside: sqlite3.Connection | None = None
        self._readers: ThreadPoolExecutor | None = None

    @classmethod
    def of(cls, path: Path) -> SQLite:
        """The database in that file."""
        path = path.resolve()
        return cls._instances.get(path, lambda: cls(path))

    async def open(self, schema: Schema) -> None:
        if self._reader is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._reader, self._aside = self._connect(_READER_LOCK_TIME), self._connect(_READER_LOCK_TIME)
            except (OSError, sqlite3.Error) as error:
                raise translate(error, "open", self._path) from error
            self._readers = ThreadPoolExecutor(1, f"sql reads {self._path.name}")
            self._writer = Writer(self._path, lambda: self._connect(_WRITER_LOCK_TIME))
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
            created = [
                *schema.statements(self.dialect),
                *(one.statement(self.dialect) for one in columns),
                *schema.further_statements(),
            ]
            statements: list[Statement] = [(statement, {}) for statement in [*created, CREATE_VERSIONS]]
            try:
                await self._write([*statements, (RECORD_VERSION, recorded(schema))], _SCHEMA_TIME)
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
        if self._users > 0 or self._writer is None or self._reader is None:
            return
        writer, self._writer = self._writer, None
        await writer.close()
        if self._aside is not None and self._readers is not None:
            self._aside.interrupt()
            await asyncio.get_running_loop().run_in_executor(self._readers, self._aside.close)
            self._readers.shutdown()
        self._reader.close()
        self._reader = self._aside = self._readers = None

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        # PERF: blocks the loop, for less time than a thread would need to answer.
        return self._rows(self._reader, sql, parameters or {})

    async def read_aside(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._readers, self._rows, self._aside, sql, parameters or {})

    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        return self._rows(self._reader, sql, parameters, size)

    def _rows(
        self, connection: sqlite3.Connection | None, sql: str, parameters: Parameters, size: float = math.inf
    ) -> list[Row]:
        """The rows of a query, or those up to a size of their texts."""
        if connection is None:
            raise DatabaseUnavailableError(f"the database {self._path} is not open")
        try:
            with closing(connection.execute(sql, parameters)) as cursor:
                return cursor.fetchall() if size == math.inf else _up_to(size, cursor)
        except sqlite3.Error as error:
            raise translate(error, "read", self._path) from error

    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        return await self._write(statements, _WRITE_TIME)

    async def _write(self, statements: Sequence[Statement], seconds: float) -> list[Outcome]:
        if self._writer is None:
            raise DatabaseUnavailableError(f"the database {self._path} is not open")
        return await self._writer.write(statements, seconds)

    def _connect(self, lock_time: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=lock_time
        )
        connection.execute("PRAGMA journal_mode=WAL")
        # A commit is on disk when it returns: an accepted request survives a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # 16 MiB: else the log of a large transaction keeps its size on the disk for ever.
        connection.execute("PRAGMA journal_size_limit=16777216")
        return connection


def _up_to(size: float, cursor: Iterable[Row]) -> list[Row]:
    rows = []
    for row in cursor:
        rows.append(row)
        size -= text_size(row)
        if size <= 0:
            break
    return rows
