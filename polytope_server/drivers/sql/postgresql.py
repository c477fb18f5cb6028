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
from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from polytope_server.drivers.instances import Instances
from polytope_server.drivers.schema_version import must_upgrade
from polytope_server.drivers.sql import (
    Database,
    DatabaseUnavailableError,
    Dialect,
    Outcome,
    Parameters,
    Row,
    Schema,
    Statement,
    UniqueViolationError,
    postgresql_schema,
    text_size,
)
from polytope_server.drivers.sql.postgresql_connection import (
    answering,
    connect_arguments,
    first_line,
    is_alive,
    server_name,
)
from polytope_server.drivers.sql.postgresql_text import run

#: Connections of one process, and seconds that a call waits for one.
_CONNECTIONS, _POOL_TIME = 8, 5.0
#: Seconds for an operation with all its statements.
_OPERATION_TIME = 6.0
#: Rows at a time of a query that is read up to a size.
_TOGETHER = 16
#: So often a transaction is tried that the server rolled back in favour of another one.
_TRIES = 5
_SERIALIZATION_FAILURE, _DEADLOCK, _UNIQUE = "40001", "40P01", "23505"


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
            return (await run(connection, sql, parameters or {})).rows

    async def read_aside(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        return await self.read(sql, parameters)

    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        rows: list[Row] = []
        # Within a transaction, which a cursor needs.
        async with self._connection("READ COMMITTED", _OPERATION_TIME) as connection:
            await run(connection, f"DECLARE page NO SCROLL CURSOR FOR {sql}", parameters)
            while size > 0 and (found := (await run(connection, f"FETCH {_TOGETHER} FROM page", {})).rows):
                rows += found
                size -= sum(map(text_size, found))
        return rows

    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        # A statement that is alone needs no BEGIN and no COMMIT.
        isolation = "AUTOCOMMIT" if len(statements) == 1 else "READ COMMITTED"
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._connection(isolation, _OPERATION_TIME) as connection:
                    outcomes = [await run(connection, *statement) for statement in statements]
                    await connection.commit()
                    return outcomes
            except _RolledBackError:
                if not tries_left:
                    raise
                await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 -- no secret
        raise AssertionError

    async def _create(self, schema: Schema) -> None:
        async with self._connection("AUTOCOMMIT", _OPERATION_TIME) as connection:
            ((encoding,),) = (await run(connection, "SELECT current_setting('server_encoding')", {})).rows
            if encoding != "UTF8":
                raise DatabaseUnavailableError(f"{self._name} has the encoding {encoding}: UTF8 is needed")
            stored = await postgresql_schema.stored(connection, schema.name)
        if must_upgrade(f"the table {schema.name} in {self._name}", stored, schema):
            await postgresql_schema.create(self._connection, schema, self.dialect)

    @asynccontextmanager
    async def _connection(self, isolation: str, seconds: float) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            raise DatabaseUnavailableError(f"{self._name} is not open")
        with self._database_errors():
            async with self._engine.connect() as connection:
                if isolation != "AUTOCOMMIT":
                    await connection.execution_options(isolation_level=isolation)
                with answering(_driver(connection), seconds):
                    yield connection

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
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


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def _driver(connection: AsyncConnection) -> Any:
    opened = connection.sync_connection
    return opened and opened.connection.driver_connection
