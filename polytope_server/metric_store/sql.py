"""Metrics in SQLite or PostgreSQL."""

# ruff: noqa: S608 -- statements are put together from names of this module; values are parameters

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from polytope_server.drivers.sql import Schema, Statement
from polytope_server.drivers.sql.address import SQLSettings, database_at
from polytope_server.metric_store import MetricStore, RequestStatusChange

_SCHEMA = Schema(
    "metrics",
    1,
    """
CREATE TABLE IF NOT EXISTS metrics (
    uuid {text} PRIMARY KEY, type {text} NOT NULL, timestamp {real} NOT NULL, host {text} NOT NULL,
    status {text} NOT NULL, request_id {text} NOT NULL, user_id {text} NOT NULL
) {by_key};
CREATE INDEX IF NOT EXISTS metrics_timestamp ON metrics (timestamp)
""",
)
_NAMES = tuple(field.name for field in fields(RequestStatusChange))
_COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)
#: Metrics in one statement.
_BATCH = 100


class SQLMetricStore(MetricStore):
    """Metrics as rows of one table.

    Every method may raise :class:`~polytope_server.runtime.unavailable.UnavailableError`.
    """

    Settings = SQLSettings

    def __init__(self, settings: SQLSettings, data: Path) -> None:
        self._database = database_at(settings.url, data)

    async def open(self) -> None:
        await self._database.open(_SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def add(self, *metrics: RequestStatusChange) -> None:
        batches = [
            _insert_statement(metrics[start : start + _BATCH]) for start in range(0, len(metrics), _BATCH)
        ]
        if batches:
            await self._database.write_all(batches)

    async def find(
        self, *, since: float = 0.0, statuses: Collection[str] | None = None
    ) -> list[RequestStatusChange]:
        where, parameters = "timestamp >= :since", {"since": since}
        if statuses is not None:
            where += f" AND {self._database.dialect.among('status', 'statuses')}"
            parameters |= {"statuses": self._database.dialect.listed(list(statuses))}
        sql = f"SELECT {_COLUMNS} FROM metrics WHERE {where} ORDER BY timestamp"
        return [RequestStatusChange(*row) for row in await self._database.read(sql, parameters)]

    async def remove_old(self, before: float, limit: int) -> int:
        old = "SELECT uuid FROM metrics WHERE timestamp < :before ORDER BY timestamp LIMIT :limit"
        sql = f"DELETE FROM metrics WHERE uuid IN ({old})"
        return (await self._database.write(sql, {"before": before, "limit": limit})).changed


def _insert_statement(metrics: Sequence[RequestStatusChange]) -> Statement:
    values: dict[str, Any] = {
        f"{name}_{number}": getattr(metric, name) for number, metric in enumerate(metrics) for name in _NAMES
    }
    return _insert_text(len(metrics)), values


@cache
def _insert_text(number: int) -> str:
    rows = (f"({', '.join(f':{name}_{row}' for name in _NAMES)})" for row in range(number))
    return f"INSERT INTO metrics ({_COLUMNS}) VALUES {', '.join(rows)} ON CONFLICT DO NOTHING"
