"""Tables and indexes of PostgreSQL: made by one process at a time, while others work with what is there."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from polytope_server.drivers.schema_version import Stored
from polytope_server.drivers.sql import (
    CREATE_VERSIONS,
    RECORD_VERSION,
    DatabaseUnavailableError,
    Dialect,
    Row,
    Schema,
    recorded,
)
from polytope_server.drivers.sql.postgresql_connection import Driver
from polytope_server.drivers.sql.postgresql_text import run

#: A connection, for that many seconds at most.
Connect = Callable[[float], AbstractAsyncContextManager[Driver]]

#: Seconds for an index on a table that has many rows already, and between two looks whether another process
#: has made what is missing.
_SCHEMA_TIME, _PAUSE = 600.0, 0.1
#: Names the lock under which tables are created; any number does that nothing else in the database uses.
_SCHEMA_LOCK = 0x706F6C79746F7065
#: Of a table that has no column `needs` yet, too.
_SELECT_VERSION = (
    "SELECT version, COALESCE(CAST(to_jsonb(found) ->> 'needs' AS INTEGER), 1) "
    "FROM schema_versions AS found WHERE name = :name"
)
_ADD_NEEDS = "ALTER TABLE schema_versions ADD COLUMN IF NOT EXISTS needs INTEGER NOT NULL DEFAULT 1"
_INDEX = re.compile(r"(CREATE|DROP) INDEX (IF (?:NOT )?EXISTS (\w+))")
#: What is left of an index whose making was broken off: it costs writes, and serves no query.
_IS_INVALID = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:index) AND NOT indisvalid"


async def stored(connection: Driver, name: str) -> Stored | None:
    """The version of the tables of that schema, None if there are none."""
    if not await _rows(connection, "SELECT 1 WHERE to_regclass('schema_versions') IS NOT NULL"):
        return None
    found = (await run(connection, _SELECT_VERSION, {"name": name})).rows
    return Stored(*found[0]) if found else None


async def create(connect: Connect, schema: Schema, dialect: Dialect) -> None:
    """Make the tables and indexes of a schema, or what its version adds to an earlier one.

    DatabaseUnavailableError if another process takes longer for that than a process waits.
    """
    until = time.monotonic() + _SCHEMA_TIME
    while time.monotonic() < until:
        async with connect(_SCHEMA_TIME) as connection:
            # It does not wait for the lock in the server: an index that is built without locking its table
            # waits for all statements that are older, and the two would wait for each other.
            ((mine,),) = await _rows(connection, f"SELECT pg_try_advisory_lock({_SCHEMA_LOCK})")
            if mine:
                try:
                    await _run_all(connection, f"SET statement_timeout = '{_SCHEMA_TIME:.0f}s'")
                    await _create(connection, schema, dialect)
                    unlock = f"SELECT pg_advisory_unlock({_SCHEMA_LOCK})"
                    await _run_all(connection, "RESET statement_timeout", unlock)
                except BaseException:
                    await connection.close()  # the lock ends with the connection
                    raise
                return
        await asyncio.sleep(_PAUSE)
    raise DatabaseUnavailableError(f"another process has been making the table {schema.name} for too long")


async def _create(connection: Driver, schema: Schema, dialect: Dialect) -> None:
    now = await stored(connection, schema.name)
    if now is not None and now.version >= schema.version:
        return
    columns = [
        column.statement(dialect).replace("ADD COLUMN", "ADD COLUMN IF NOT EXISTS") for column in schema.added
    ]
    statements = [*schema.statements(dialect), *columns, *schema.further_statements()]
    # In tables that are in use, a transaction with indexes would hold up every write until all are built.
    indexes = [] if now is None else [found for one in statements if (found := _INDEX.match(one))]
    later = {found.string for found in indexes}
    in_transaction = [one for one in statements if one not in later]
    await _run_all(connection, "BEGIN", CREATE_VERSIONS, _ADD_NEEDS, *in_transaction, "COMMIT")
    for found in indexes:
        await _change_index(connection, found)
    await run(connection, RECORD_VERSION, recorded(schema))


async def _change_index(connection: Driver, statement: re.Match[str]) -> None:
    """Make or drop an index; the rows of its table can be read and written meanwhile."""
    if await _rows(connection, _IS_INVALID, index=statement[3]):
        await _run_all(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {statement[3]}")
    await _run_all(connection, _INDEX.sub(r"\1 INDEX CONCURRENTLY \2", statement.string))


async def _rows(connection: Driver, sql: str, **parameters: str) -> list[Row]:
    return (await run(connection, sql, parameters)).rows


async def _run_all(connection: Driver, *statements: str) -> None:
    for statement in statements:
        await run(connection, statement, {})
