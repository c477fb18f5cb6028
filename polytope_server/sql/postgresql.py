"""PostgreSQL, through SQLAlchemy's asynchronous engine and psycopg.

A statement alone is a transaction of its own (autocommit): one way to the server and back. Isolation is READ
COMMITTED: a statement that waited for a row looks at it again as it is then. A connection that the server has
ended is noticed before it is used, so that the first call after an outage succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, ClassVar

from sqlalchemy import TextClause, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from polytope_server.instances import Instances
from polytope_server.schema_version import Stored, must_upgrade
from polytope_server.sql import (
    CREATE_VERSIONS,
    RECORD_VERSION,
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
    text_size,
)
from polytope_server.sql.postgresql_connection import (
    answering,
    connect_arguments,
    first_line,
    is_alive,
    server_name,
)
from polytope_server.sql.postgresql_text import decoded, encoded

#: Connections of one process, and seconds that a call waits for one.
_CONNECTIONS, _POOL_TIME = 8, 5.0
#: Seconds for an operation with all its statements.
_OPERATION_TIME = 6.0
#: Seconds for an index on a table that has many rows already.
_SCHEMA_TIME = 600.0
#: Rows at a time of a query that is read up to a size.
_TOGETHER = 16
#: So often a transaction is tried that the server rolled back in favour of another one.
_TRIES = 5
_SERIALIZATION_FAILURE, _DEADLOCK, _UNIQUE = "40001", "40P01", "23505"
#: Names the lock under which tables are created; any number does that nothing else in the database uses.
_SCHEMA_LOCK = 0x706F6C79746F7065
#: Of a table that has no column `needs` yet, too.
_SELECT_VERSION = (
    "SELECT version, COALESCE(CAST(to_jsonb(found) ->> 'needs' AS INTEGER), 1) "
    "FROM schema_versions AS found WHERE name = :name"
)
_ADD_NEEDS = "ALTER TABLE schema_versions ADD COLUMN IF NOT EXISTS needs INTEGER NOT NULL DEFAULT 1"


class PostgreSQLDialect(Dialect):
    """The SQL of PostgreSQL."""

    types: ClassVar = {
        "sequence": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "text": 'TEXT COLLATE "C"',
        "integer": "BIGINT",
        "real": "DOUBLE PRECISION",
        "bytes": "BYTEA",
        "by_key": "",
    }
    clock = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
    began = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"
    held = "FOR SHARE"
    octets = "octet_length({})"
    on_primary = "(SELECT txid_current() > 0)"  # a standby gives no numbers to transactions

    def among(self, expression: str, name: str) -> str:
        return f"{expression} = ANY(CAST(:{name} AS TEXT[]))"

    def listed(self, texts: Sequence[str]) -> Any:
        return list(texts)

    def not_sought(self, column: str) -> str:
        return column  # the statistics say what is few

    def by_index(self, table: str, index: str) -> str:
        return table  # the statistics say which is best

    def with_default(self, column: str, key: str, value: str) -> str:
        one = f"jsonb_build_object(CAST(:{key} AS TEXT), {value})"
        return f"CAST({one} || CAST({column} AS JSONB) AS TEXT)"

    def merged(self, queries: Sequence[str], order: str) -> str:
        # Without limits of their own they would be read whole, and sorted.
        first = f"ORDER BY {order} LIMIT :limit"
        return f"{' UNION ALL '.join(f'({query} {first})' for query in queries)} {first}"

    def in_order(self, table: str, key: str, where: str) -> str:
        found = f"SELECT {key} FROM {table} WHERE {where} ORDER BY {key} FOR UPDATE"  # noqa: S608
        return f"{key} = ANY(ARRAY({found}))"


class PostgreSQL(Database):
    """One database of a server, with a pool of connections."""

    dialect = PostgreSQLDialect()
    _instances: ClassVar[Instances[PostgreSQL]] = Instances()

    def __init__(self, url: str) -> None:
        self._arguments = connect_arguments(url)
        self._name = server_name(self._arguments)
        self._users = 0
        self._engine: AsyncEngine | None = None

    @classmethod
    def of(cls, url: str) -> PostgreSQL:
        """The database of that address."""
        return cls._instances.get(url, lambda: cls(url))

    async def open(self, schema: Schema) -> None:
        if self._engine is None:
            self._engine = _engine(self._arguments)
        self._users += 1
        try:
            await self._create(schema)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._users -= 1
        if self._users == 0 and self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        async with self._connection("AUTOCOMMIT", _OPERATION_TIME) as connection:
            return (await _run(connection, sql, parameters or {})).rows

    async def read_aside(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        return await self.read(sql, parameters)

    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        rows: list[Row] = []
        # Within a transaction, which a cursor needs.
        async with self._connection("READ COMMITTED", _OPERATION_TIME) as connection:
            await _run(connection, f"DECLARE page NO SCROLL CURSOR FOR {sql}", parameters)
            while size > 0 and (found := (await _run(connection, f"FETCH {_TOGETHER} FROM page", {})).rows):
                rows += found
                size -= sum(map(text_size, found))
        return rows

    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        # A statement that is alone needs no BEGIN and no COMMIT.
        isolation = "AUTOCOMMIT" if len(statements) == 1 else "READ COMMITTED"
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._connection(isolation, _OPERATION_TIME) as connection:
                    outcomes = [await _run(connection, *statement) for statement in statements]
                    await connection.commit()
                    return outcomes
            except _RolledBackError:
                if not tries_left:
                    raise
                await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 -- no secret
        raise AssertionError

    async def _create(self, schema: Schema) -> None:
        stored = await self._stored(schema)
        if not must_upgrade(f"the table {schema.name} in {self._name}", stored, schema):
            return
        async with self._connection("READ COMMITTED", _SCHEMA_TIME) as connection:
            await _run(connection, f"SET LOCAL statement_timeout = '{_SCHEMA_TIME:.0f}s'", {})
            # Two that create the same table at the same time fail, IF NOT EXISTS or not.
            await _run(connection, f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})", {})
            await _run(connection, CREATE_VERSIONS, {})
            await _run(connection, _ADD_NEEDS, {})
            found = (await _run(connection, _SELECT_VERSION, {"name": schema.name})).rows
            if not found or found[0][0] < schema.version:
                for statement in schema.statements(self.dialect):
                    await _run(connection, statement, {})
                for column in schema.added:
                    statement = column.statement(self.dialect)
                    await _run(connection, statement.replace("ADD COLUMN", "ADD COLUMN IF NOT EXISTS"), {})
                for statement in schema.further_statements():
                    await _run(connection, statement, {})
                await _run(connection, RECORD_VERSION, recorded(schema))
            await connection.commit()

    async def _stored(self, schema: Schema) -> Stored | None:
        """The version of the tables that are there."""
        ((table, encoding),) = await self.read(
            "SELECT to_regclass('schema_versions') IS NOT NULL, current_setting('server_encoding')"
        )
        if encoding != "UTF8":
            raise DatabaseUnavailableError(f"{self._name} has the encoding {encoding}: UTF8 is needed")
        found = await self.read(_SELECT_VERSION, {"name": schema.name}) if table else []
        return Stored(*found[0]) if found else None

    @asynccontextmanager
    async def _connection(self, isolation: str, seconds: float) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            raise DatabaseUnavailableError(f"{self._name} is not open")
        with self._explained():
            async with self._engine.connect() as connection:
                if isolation != "AUTOCOMMIT":
                    await connection.execution_options(isolation_level=isolation)
                with answering(_driver(connection), seconds):
                    yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns errors of the driver into ours, without the statement and its parameters."""
        try:
            yield
        except IntegrityError as error:
            if _sqlstate(error) != _UNIQUE:
                raise
            raise UniqueViolationError(f"{self._name}: there is a row of that key") from error
        except PoolTimeoutError as error:
            reason = f"all {_CONNECTIONS} connections are in use"
            raise DatabaseUnavailableError(f"{self._name}: {reason}") from error
        except SQLAlchemyError as error:
            kind = DatabaseUnavailableError
            if _sqlstate(error) in (_SERIALIZATION_FAILURE, _DEADLOCK):
                kind = _RolledBackError
            raise kind(
                f"{self._name}: {first_line(error.orig if isinstance(error, DBAPIError) else error)}"
            ) from error


class _RolledBackError(DatabaseUnavailableError):
    """The transaction stood in the way of another one, and may be tried again."""


def _engine(arguments: dict[str, Any]) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+psycopg://",
        connect_args=arguments,
        isolation_level="AUTOCOMMIT",
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_POOL_TIME,
        pool_use_lifo=True,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", _check_alive)
    return engine


def _check_alive(connection: Any, *_: object) -> None:
    """Have the pool replace a connection that the server has ended."""
    if not is_alive(connection.driver_connection):
        raise DisconnectionError


async def _run(connection: AsyncConnection, sql: str, parameters: Parameters) -> Outcome:
    result = await connection.execute(_text(sql), encoded(parameters))
    if not result.returns_rows:
        return Outcome([], result.rowcount)
    rows = decoded(result.fetchall())
    return Outcome(rows, len(rows))


@lru_cache(maxsize=500)  # the same few statements again and again
def _text(sql: str) -> TextClause:
    return text(sql)


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def _driver(connection: AsyncConnection) -> Any:
    opened = connection.sync_connection
    return opened and opened.connection.driver_connection
