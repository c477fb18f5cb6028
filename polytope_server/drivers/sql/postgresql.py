"""PostgreSQL, through psycopg.

A statement alone is a transaction of its own (autocommit): one way to the server and back. Isolation is READ
COMMITTED: a statement that waited for a row looks at it again as it is then. A connection that the server has
ended is noticed before it is used, so that the first call after an outage succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, ClassVar

import psycopg
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg_pool import PoolTimeout

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
    Driver,
    answering,
    connect_arguments,
    first_line,
    server_name,
)
from polytope_server.drivers.sql.postgresql_pool import CONNECTIONS, Pool
from polytope_server.drivers.sql.postgresql_text import run

#: Seconds for an operation with all its statements.
_OPERATION_TIME = 6.0
#: Rows at a time of a query that is read up to a size.
_TOGETHER = 16
#: So often a transaction is tried that the server rolled back in favour of another one.
_TRIES = 5


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
        self._pool: Pool | None = None

    @classmethod
    def of(cls, url: str) -> PostgreSQL:
        """The database of that address."""
        return cls._instances.get(url, lambda: cls(url))

    async def open(self, schema: Schema) -> None:
        if self._pool is None:
            self._pool = Pool(self._arguments)
        self._users += 1
        try:
            await self._pool.open()
            await self._create(schema)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._users -= 1
        if self._users == 0 and self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        async with self._connection(_OPERATION_TIME) as connection:
            return (await run(connection, sql, parameters or {})).rows

    async def read_aside(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        return await self.read(sql, parameters)

    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        rows: list[Row] = []
        # Within a transaction, which a cursor needs.
        async with self._connection(_OPERATION_TIME) as connection, connection.transaction():
            await run(connection, f"DECLARE page NO SCROLL CURSOR FOR {sql}", parameters)
            while size > 0 and (found := (await run(connection, f"FETCH {_TOGETHER} FROM page", {})).rows):
                rows += found
                size -= sum(map(text_size, found))
        return rows

    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._connection(_OPERATION_TIME) as connection, _begun(connection, statements):
                    return [await run(connection, *statement) for statement in statements]
            except _RolledBackError:
                if not tries_left:
                    raise
                await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 -- no secret
        raise AssertionError

    async def _create(self, schema: Schema) -> None:
        async with self._connection(_OPERATION_TIME) as connection:
            ((encoding,),) = (await run(connection, "SELECT current_setting('server_encoding')", {})).rows
            if encoding != "UTF8":
                raise DatabaseUnavailableError(f"{self._name} has the encoding {encoding}: UTF8 is needed")
            stored = await postgresql_schema.stored(connection, schema.name)
        if must_upgrade(f"the table {schema.name} in {self._name}", stored, schema):
            await postgresql_schema.create(self._connection, schema, self.dialect)

    @asynccontextmanager
    async def _connection(self, seconds: float) -> AsyncIterator[Driver]:
        if self._pool is None:
            raise DatabaseUnavailableError(f"{self._name} is not open")
        with self._database_errors():
            async with self._pool.connection() as connection:
                with answering(connection, seconds):
                    yield connection

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        """Turns errors of the driver into ours, without the statement and its parameters."""
        try:
            yield
        except UniqueViolation as error:
            raise UniqueViolationError(f"{self._name}: there is a row of that key") from error
        except psycopg.IntegrityError:
            raise
        except PoolTimeout as error:
            reason = f"all {CONNECTIONS} connections are in use"
            raise DatabaseUnavailableError(f"{self._name}: {reason}") from error
        except (psycopg.Error, OSError) as error:
            rolled_back = isinstance(error, (SerializationFailure, DeadlockDetected))
            kind = _RolledBackError if rolled_back else DatabaseUnavailableError
            raise kind(f"{self._name}: {first_line(error)}") from error


def _begun(connection: Driver, statements: Sequence[Statement]) -> AbstractAsyncContextManager[object]:
    """The transaction of these statements. One that is alone needs no BEGIN and no COMMIT."""
    return nullcontext() if len(statements) == 1 else connection.transaction()


class _RolledBackError(DatabaseUnavailableError):
    """The transaction stood in the way of another one, and may be tried again."""
