"""A cache on MongoDB, for a site that has no other server for it.

Documents of the earlier server in the same collection, which hold pickles, are neither read nor changed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pymongo import IndexModel, ReturnDocument, timeout
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.write_concern import WriteConcern

from polytope_server.caching.circuit_breaker import TIMEOUT
from polytope_server.caching.remote import RemoteCache, RemoteCacheSettings
from polytope_server.drivers.mongodb import (
    Connection,
    Document,
    MongoDBHostSettings,
    MongoDBUnavailableError,
    create_indexes,
)

#: The server removes what has ended about once a minute.
_INDEX = IndexModel("expires", expireAfterSeconds=0)
#: By the clock of the server, so that those of the frontends may differ.
_NOT_ENDED = {"$gt": ["$expires", "$$NOW"]}
#: The value as a whole number; null if it is none.
_NUMBER = {"$convert": {"input": "$value", "to": "long", "onError": None, "onNull": None}}


class MongoDBCacheSettings(RemoteCacheSettings, MongoDBHostSettings):
    """Keys of the cache `mongodb`."""

    database: str = Field("cache", min_length=1, description="Name of the database.")
    collection: str = Field("cache", min_length=1, description="Name of the collection.")


class MongoDBCache(RemoteCache):
    """A document a value, which is a JSON text."""

    Settings = MongoDBCacheSettings

    def __init__(self, settings: MongoDBCacheSettings, data: Path) -> None:
        self._connection = Connection.at(settings)
        super().__init__(settings.prefix, f"the cache mongodb at {self._connection.server}")
        self._names = (settings.database, settings.collection)
        self._indexed = False

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def read(self, name: str) -> str | None:
        with self._connection.failing_with(MongoDBUnavailableError), timeout(TIMEOUT):
            found = await self._collection().find_one({"_id": name, "$expr": _NOT_ENDED}, {"value": 1})
        value = None if found is None else found.get("value")
        return value if isinstance(value, str) else None

    async def write(self, name: str, text: str, seconds: float) -> None:
        await self._replace(name, {"value": {"$literal": text}, "expires": _after(seconds)})

    async def count(self, name: str, amount: int, seconds: float) -> int:
        live = {"$and": [_NOT_ENDED, {"$isNumber": _NUMBER}]}
        total = {"$toString": {"$add": [{"$cond": [live, _NUMBER, 0]}, amount]}}
        end = {"$cond": [live, "$expires", _after(seconds)]}
        return int((await self._replace(name, {"value": total, "expires": end}))["value"])

    async def _replace(self, name: str, fields: Document) -> Document:
        """Put expressions in the place of a document; the new document."""
        with self._connection.failing_with(MongoDBUnavailableError), timeout(TIMEOUT):
            collection = self._collection()
            if not self._indexed:
                # Here, as the server may be down while this process starts.
                await create_indexes(collection, [_INDEX])
                self._indexed = True
            step = {"$replaceWith": {"_id": {"$literal": name}, **fields}}
            changed = await collection.find_one_and_update(
                {"_id": name}, [step], upsert=True, return_document=ReturnDocument.AFTER
            )
        return changed or {}

    async def remove(self, name: str) -> None:
        with self._connection.failing_with(MongoDBUnavailableError), timeout(TIMEOUT):
            await self._collection().delete_one({"_id": name})

    def _collection(self) -> AsyncCollection[Document]:
        # What may be lost need not be durable.
        return self._connection.collection(*self._names).with_options(write_concern=WriteConcern(w=1))


def _after(seconds: float) -> Document:
    """The time in `seconds` from now, by the clock of the server."""
    return {"$add": ["$$NOW", max(round(seconds * 1000), 1)]}
