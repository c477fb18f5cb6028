"""The shared SQL database, for what is known about credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.drivers.sql import DatabaseUnavailableError, Outcome, Parameters, Row, Schema, Statement
from polytope_server.drivers.sql.address import database_at

logger = logging.getLogger(__name__)


class CredentialDatabase:
    """As :class:`Database`, but what fails raises :class:`AuthenticationUnavailableError`."""

    def __init__(self, url: str | None, data: Path) -> None:
        """`url` is the address of a PostgreSQL server; None for SQLite in the folder `data`."""
        self._database = database_at(url, data)

    async def open(self, schema: Schema) -> None:
        """Connect, and create what of `schema` is missing."""
        with _translated():
            await self._database.open(schema)

    async def close(self) -> None:
        """Disconnect, when the last user of the database closes."""
        await self._database.close()

    async def read(self, sql: str, parameters: Parameters) -> list[Row]:
        """The rows of a short, indexed query."""
        with _translated():
            return await self._database.read(sql, parameters)

    async def write(self, sql: str, parameters: Parameters) -> Outcome:
        """Run one statement; its outcome once that is durable."""
        with _translated():
            return await self._database.write(sql, parameters)

    async def write_all(self, statements: Sequence[Statement]) -> None:
        """Run statements as one durable transaction."""
        with _translated():
            await self._database.write_all(statements)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError as error:
        # For the log only: the text holds a path or an address.
        logger.error("%s", error)
        message = "Users and keys cannot be looked up at the moment, please try again later"
        raise AuthenticationUnavailableError(message) from error
