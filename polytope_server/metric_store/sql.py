"""Metrics in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from polytope_server.metric_store import MetricStore, RequestStatusChange
from polytope_server.sql import Database, SQLSettings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metrics (
    uuid TEXT PRIMARY KEY, type TEXT NOT NULL, timestamp REAL NOT NULL, host TEXT NOT NULL,
    status TEXT NOT NULL, request_id TEXT NOT NULL, user_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS metrics_timestamp ON metrics (timestamp)
"""
_INSERT = (
    "INSERT OR IGNORE INTO metrics (uuid, type, timestamp, host, status, request_id, user_id) "
    "VALUES (:uuid, :type, :timestamp, :host, :status, :request_id, :user_id)"
)


class SQLMetricStore(MetricStore):
    """Metrics as rows of one table."""

    Settings = SQLSettings

    def __init__(self, settings: SQLSettings, data: Path) -> None:
        self._database = Database.at(settings.url, data)

    async def open(self) -> None:
        await self._database.open(_SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def add(self, *metrics: RequestStatusChange) -> None:
        rows = [asdict(metric) for metric in metrics]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, rows)

        await self._database.write(insert)

    async def find(
        self, *, since: float = 0.0, statuses: Collection[str] | None = None
    ) -> list[RequestStatusChange]:
        rows = self._database.read(
            "SELECT * FROM metrics WHERE timestamp >= :since "
            "AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))) "
            "ORDER BY timestamp",
            {"since": since, "statuses": None if statuses is None else json.dumps(list(statuses))},
        )
        return [RequestStatusChange(**dict(row)) for row in rows]

    async def remove_old(self, before: float) -> int:
        def delete(connection: sqlite3.Connection) -> int:
            statement = "DELETE FROM metrics WHERE timestamp < :before"
            return connection.execute(statement, {"before": before}).rowcount

        return await self._database.write(delete)

    async def wipe(self) -> None:
        await self._database.write(lambda connection: connection.execute("DELETE FROM metrics"))
