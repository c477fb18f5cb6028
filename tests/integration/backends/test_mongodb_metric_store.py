import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from polytope_server.metric_store import RequestStatusChange
from polytope_server.metric_store.mongodb import MongoDBMetricStore, MongoDBMetricStoreSettings
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.testing.metric_store import MetricStoreContract
from testbed.services import MongoDB

# A connection that the driver gives up while it is made is closed by the garbage collection only.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
METRIC = RequestStatusChange("r", "u", "processed", 1.0)


def store_on(service: MongoDB) -> MongoDBMetricStore:
    return MongoDBMetricStore(MongoDBMetricStoreSettings(uri=service.uri), Path("unused"))


class TestMongoDBMetricStore(MetricStoreContract):
    @pytest.fixture
    async def metrics(self, mongodb: MongoDB) -> AsyncIterator[MongoDBMetricStore]:
        store = store_on(mongodb)
        with mongodb.client() as client:
            client.drop_database("metric_store")
        await store.open()
        yield store
        await store.close()
        with mongodb.client() as client:
            client.drop_database("metric_store")

    async def test_no_metric_is_none(self, metrics: MongoDBMetricStore) -> None:
        await metrics.add()
        assert await metrics.find() == []

    async def test_documents_of_the_earlier_server_are_left_alone(
        self, metrics: MongoDBMetricStore, mongodb: MongoDB
    ) -> None:
        with mongodb.client() as client:
            client.metric_store.metrics.insert_one({"uuid": "1", "type": "generic", "timestamp": 0.5})
        await metrics.add(METRIC)
        assert await metrics.find() == [METRIC]
        assert await metrics.remove_old(10.0, 10) == 1
        with mongodb.client() as client:
            assert client.metric_store.metrics.count_documents({}) == 1

    async def test_old_ones_are_found_by_an_index(
        self, metrics: MongoDBMetricStore, mongodb: MongoDB
    ) -> None:
        with mongodb.client() as client:
            plan = client.metric_store.metrics.find({"timestamp": {"$lt": 1.0}}).explain()
        assert plan["queryPlanner"]["winningPlan"]["inputStage"]["stage"] == "IXSCAN"


async def test_a_server_that_is_down_is_told_and_used_again(own_mongodb: MongoDB) -> None:
    store = store_on(own_mongodb)
    await store.open()
    own_mongodb.kill()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.add(METRIC),
        store.find,
        lambda: store.remove_old(0.0, 10),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=str(own_mongodb.port)):
            await call()
        assert time.monotonic() - began < 5
    own_mongodb.start()
    async with asyncio.timeout(10):
        await store.add(METRIC)
    assert await store.find() == [METRIC]
    await store.close()


async def test_it_opens_when_the_server_is_there(own_mongodb: MongoDB) -> None:
    own_mongodb.kill()
    store = store_on(own_mongodb)
    with pytest.raises(UnavailableError):
        await store.add(METRIC)
    with pytest.raises(UnavailableError):
        await store.open()
    own_mongodb.start()
    await store.open()
    await store.add(METRIC)
    await store.close()


async def test_what_fails_beside_a_duplicate_is_raised(mongodb: MongoDB) -> None:
    store = store_on(mongodb)
    await store.open()
    await store.add(METRIC)
    with mongodb.client() as client:
        client.metric_store.command("collMod", "metrics", validator={"status": {"$ne": "bad"}})
    with pytest.raises(UnavailableError):
        await store.add(METRIC, RequestStatusChange("r", "u", "bad", 1.0))
    await store.close()
    with mongodb.client() as client:
        client.drop_database("metric_store")


def test_the_keys_of_the_earlier_server() -> None:
    keys = {"uri": "mongodb://db", "collection": "c", "username": "u", "password": "p", "log_level": "INFO"}
    assert MongoDBMetricStoreSettings.model_validate(keys).collection == "c"
