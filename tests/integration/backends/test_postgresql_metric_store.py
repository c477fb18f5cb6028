import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.metric_store import RequestStatusChange
from polytope_server.metric_store.sql import SQLMetricStore
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.testing.metric_store import MetricStoreContract
from testbed.services import PostgreSQL


def store_on(service: PostgreSQL) -> SQLMetricStore:
    return SQLMetricStore(SQLSettings(url=service.url), Path("unused"))


def empty(service: PostgreSQL) -> None:
    with psycopg.connect(service.url, autocommit=True) as connection:
        connection.execute("DELETE FROM metrics")


class TestPostgreSQLMetricStore(MetricStoreContract):
    @pytest.fixture
    async def metrics(self, postgresql: PostgreSQL) -> AsyncIterator[SQLMetricStore]:
        store = store_on(postgresql)
        await store.open()
        empty(postgresql)  # of what servers of other tests have written
        yield store
        empty(postgresql)
        await store.close()

    async def test_many_metrics_at_a_time(self, metrics: SQLMetricStore) -> None:
        many = [RequestStatusChange(f"r{number}", "u", "processed", float(number)) for number in range(250)]
        await asyncio.gather(*(metrics.add(*many) for _ in range(3)))
        assert await metrics.find() == many
        await metrics.add()

    async def test_any_text_and_time_comes_back(self, metrics: SQLMetricStore) -> None:
        metric = RequestStatusChange("a\x00b", "\x1a0", "é", 1_700_000_000.1234567, "host")
        await metrics.add(metric)
        assert await metrics.find(statuses=["é"]) == [metric]
        assert await metrics.find(statuses=[]) == []

    async def test_a_time_is_found_by_an_index(self, metrics: SQLMetricStore, postgresql: PostgreSQL) -> None:
        await metrics.add(*(RequestStatusChange("r", "u", "processed", float(time)) for time in range(3000)))
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            connection.execute("ANALYZE metrics")
            for sql in (
                "DELETE FROM metrics WHERE timestamp < 5",
                "SELECT * FROM metrics WHERE timestamp >= 2990 ORDER BY timestamp",
            ):
                plan = str(connection.execute(f"EXPLAIN {sql}".encode()).fetchall())
                assert "metrics_timestamp" in plan


async def test_a_server_that_is_down_is_told_and_used_again(tmp_path: Path, postgresql: PostgreSQL) -> None:
    metric = RequestStatusChange("r", "u", "processed", 1.0)
    with PostgreSQL(tmp_path) as own:
        store = store_on(own)
        await store.open()
        await store.add(metric)
        own.kill()
        for call in (store.add(metric), store.find(), store.remove_old(5.0, 10)):
            with pytest.raises(UnavailableError, match=f"PostgreSQL at 127.0.0.1:{own.port}"):
                await call
        own.start()
        assert await store.find() == [metric]
        await store.close()
