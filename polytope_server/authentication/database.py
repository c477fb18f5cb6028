"""The shared SQLite database, for what is known about credentials."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.sql import Database, DatabaseUnavailableError

T = TypeVar("T")
_log = logging.getLogger(__name__)


class CredentialDatabase:
    """As :class:`Database`, but what fails raises :class:`AuthenticationUnavailableError`."""

    def __init__(self, url: str | None, data: Path) -> None:
        self._database = Database.at(url, data)

    async def open(self, schema: str) -> None:
        """Connect, and run the idempotent statements of `schema`."""
        with _translated():
            await self._database.open(schema)

    async def close(self) -> None:
        """Disconnect, when the last user of the database closes."""
        await self._database.close()

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[sqlite3.Row]:
        """The rows of a short, indexed query."""
        with _translated():
            return self._database.read(sql, parameters)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a durable transaction; its result or its exception."""
        with _translated():
            return await self._database.write(work)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError as error:
        # The caller is told less than the log: the text holds a path.
        _log.error("%s", error)
        message = "Users and keys cannot be looked up at the moment, please try again later"
        raise AuthenticationUnavailableError(message) from error
