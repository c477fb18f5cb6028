"""The request store's access to its SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polytope_server.drivers.sql import Database, Outcome, Parameters, Row, Statement, failing_with
from polytope_server.drivers.sql.address import SQLSettings, database_at
from polytope_server.request_store import PAGE_SIZE, StoreUnavailableError
from polytope_server.request_store.sql.rows import SCHEMA


class SQLAccess:
    """Statements on the tables of the request store.

    What the database raises becomes an error of the store.
    """

    def __init__(self, settings: SQLSettings, data: Path, database: Database | None = None) -> None:
        """`database` is by default the one that the settings name."""
        self._database = database or database_at(settings.url, data)
        self._dialect = self._database.dialect

    async def open(self) -> None:
        with failing_with(StoreUnavailableError):
            await self._database.open(SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def _read(self, sql: str, parameters: Parameters) -> list[Row]:
        with failing_with(StoreUnavailableError):
            return await self._database.read(sql, parameters)

    async def _read_aside(self, sql: str, parameters: Parameters) -> list[Row]:
        with failing_with(StoreUnavailableError):
            return await self._database.read_aside(sql, parameters)

    async def _read_first(self, sql: str, parameters: Parameters) -> list[Row]:
        with failing_with(StoreUnavailableError):
            return await self._database.read_first(sql, parameters, PAGE_SIZE)

    async def _write(self, sql: str, parameters: Parameters) -> Outcome:
        with failing_with(StoreUnavailableError):
            return await self._database.write(sql, parameters)

    async def _write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        with failing_with(StoreUnavailableError):
            return await self._database.write_all(statements)

    def _in_order(self, where: str) -> str:
        return self._dialect.in_order("requests", "sequence", where)

    async def clock(self) -> float:
        ((now,),) = await self._read(f"SELECT {self._dialect.clock}", {})
        return float(now)
