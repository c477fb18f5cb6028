from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from polytope_server.caching import Cache
from polytope_server.caching.mongodb import MongoDBCache, MongoDBCacheSettings
from polytope_server.testing.caching import RemoteCacheContract
from testbed.services import MongoDB

# A connection that the driver gives up while it is made is closed by the garbage collection only.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def cache_on(service: MongoDB, **keys: Any) -> MongoDBCache:
    return MongoDBCache(MongoDBCacheSettings.model_validate({"uri": service.uri, **keys}), Path("unused"))


@pytest.fixture
def own(own_mongodb: MongoDB) -> MongoDB:
    return own_mongodb


class TestMongoDBCache(RemoteCacheContract):
    @pytest.fixture
    async def cache(self, mongodb: MongoDB) -> AsyncIterator[MongoDBCache]:
        cache = cache_on(mongodb)
        with mongodb.client() as client:
            # Emptied, not dropped: to make a collection again takes longer than a cache may take to answer.
            client.cache.cache.delete_many({})
        await cache.open()
        yield cache
        await cache.close()

    @pytest.fixture
    def connect(self) -> Callable[[MongoDB], Cache]:
        return cache_on

    @pytest.fixture
    def poison(self, mongodb: MongoDB) -> Callable[[str, bytes], Awaitable[None]]:
        async def poison(key: str, text: bytes) -> None:
            with mongodb.client() as client:
                document = {
                    "_id": f"polytope:{key}",
                    "value": text.decode("latin-1"),
                    "expires": datetime.max,
                }
                client.cache.cache.insert_one(document)

        return poison

    @pytest.mark.parametrize(
        "rest",
        [
            {},
            {"value": "1"},
            {"value": "1", "expires": 1e20},
            {"value": b"1", "expires": datetime.max},
            {"data": b"\x80\x04N.", "expire_at": datetime.max},
        ],
    )
    async def test_a_document_that_is_not_ours_is_none(
        self, cache: MongoDBCache, mongodb: MongoDB, rest: dict[str, Any]
    ) -> None:
        with mongodb.client() as client:
            client.cache.cache.insert_one({"_id": "polytope:key", **rest})
        assert await cache.get("key") is None
        await cache.set("key", "value", 60)
        assert await cache.get("key") == "value"

    async def test_the_server_removes_what_has_ended(self, cache: MongoDBCache, mongodb: MongoDB) -> None:
        await cache.set("key", "value", 60)
        with mongodb.client() as client:
            indexes = client.cache.cache.index_information()
            (document,) = client.cache.cache.find()
        assert indexes["expires_1"]["expireAfterSeconds"] == 0
        assert isinstance(document["expires"], datetime)

    async def test_another_collection_and_prefix_are_apart(
        self, cache: MongoDBCache, mongodb: MongoDB
    ) -> None:
        await cache.set("key", "value", 60)
        for keys, expected in [({}, "value"), ({"prefix": "other"}, None), ({"collection": "other"}, None)]:
            other = cache_on(mongodb, **keys)
            await other.open()
            assert await other.get("key") == expected
            await other.close()

    async def test_text_that_looks_like_an_expression_is_text(self, cache: MongoDBCache) -> None:
        await cache.set("$$NOW", "$$NOW", 60)
        assert await cache.get("$$NOW") == "$$NOW"


def test_the_keys_of_the_earlier_server() -> None:
    keys = {"uri": "mongodb://db:27017", "collection": "c", "username": "", "password": ""}
    assert MongoDBCacheSettings.model_validate(keys).collection == "c"
