"""The shared SQL database, for what is known about credentials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polytope_server.accounts.errors import failing_without_details
from polytope_server.drivers.sql import DatabaseUnavailableError, Outcome, Parameters, Row, Schema, Statement
from polytope_server.drivers.sql.address import database_at


class CredentialDatabase:
    """The database of users and keys; what fails in it raises `AuthenticationUnavailableError`."""

    def __init__(self, url: str | None, data: Path) -> None:
        """`url` is the address of a PostgreSQL server; None for SQLite in the folder `data`."""
        self._database = database_at(url, data)

    async def open(self, schema: Schema) -> None:
        """Connect, and create what of `schema` is missing."""
        with failing_without_details(DatabaseUnavailableError):
            await self._database.open(schema)

    async def close(self) -> None:
        """Disconnect, when the last user of the database closes."""
        await self._database.close()

    async def read(self, sql: str, parameters: Parameters) -> list[Row]:
        """The rows of a short, indexed query."""
        with failing_without_details(DatabaseUnavailableError):
            return await self._database.read(sql, parameters)

    async def write(self, sql: str, parameters: Parameters) -> Outcome:
        """Run one statement; its outcome once that is durable."""
        with failing_without_details(DatabaseUnavailableError):
            return await self._database.write(sql, parameters)

    async def write_all(self, statements: Sequence[Statement]) -> None:
        """Run statements as one durable transaction."""
        with failing_without_details(DatabaseUnavailableError):
            await self._database.write_all(statements)
