from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.metric_store import MetricStore
from polytope_server.metric_store.sql import SQLMetricStore
from polytope_server.testing.metric_store import MetricStoreContract


class TestSQLMetricStore(MetricStoreContract):
    @pytest.fixture
    async def metrics(self, tmp_path: Path) -> AsyncIterator[MetricStore]:
        store = SQLMetricStore(SQLSettings(), tmp_path)
        await store.open()
        yield store
        await store.close()
