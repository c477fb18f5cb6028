"""The request store's access to its collections of MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from pydantic import Field
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.results import UpdateResult

from polytope_server.drivers.mongodb import Connection, Document, MongoDBHostSettings, Operations
from polytope_server.drivers.mongodb.schema import prepare
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.mongodb import documents as d
from polytope_server.request_store.mongodb.leases import Leases

T = TypeVar("T")

#: The name that earlier servers gave their database.
_DATABASE = "request_store"
#: Documents at a time: the event loop has other work between them.
BATCH = 1000


class MongoDBRequestStoreSettings(MongoDBHostSettings):
    """Keys of the request store `mongodb`."""

    collection: str = Field(
        "requests",
        pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="Collection of the database `request_store`; others beside it begin with its name.",
    )
    log_level: str | None = Field(None, description="Key of the earlier server; no effect.")


class MongoDBAccess:
    """The collection of requests, and that of leases beside it.

    What the driver raises becomes an error of the store.
    """

    def __init__(self, settings: MongoDBRequestStoreSettings) -> None:
        self._connection = Connection.at(settings)
        self._name = settings.collection
        self._opened: tuple[AsyncCollection[Document], Leases] | None = None

    async def open(self) -> None:
        if self._opened is None:
            with self._failing:
                await self._connection.open(lambda: prepare(self._collection(), d.SCHEMA))
            self._opened = self._collection(), Leases(self._collection(".leases"))

    async def close(self) -> None:
        if self._opened is not None:
            self._opened = None
            await self._connection.close()

    def _collection(self, suffix: str = "") -> AsyncCollection[Document]:
        return self._connection.collection(_DATABASE, self._name + suffix)

    @property
    def _failing(self) -> Operations:
        return self._connection.failing_with(StoreUnavailableError)

    @property
    def _requests(self) -> AsyncCollection[Document]:
        return self._both()[0]

    @property
    def _leases(self) -> Leases:
        return self._both()[1]

    def _both(self) -> tuple[AsyncCollection[Document], Leases]:
        if self._opened is None:
            raise StoreUnavailableError("the request store (MongoDB) is not open")
        return self._opened

    async def clock(self) -> float:
        with self._failing:
            return await self._leases.server_time()

    async def _read(self, cursor: AsyncCursor[Document], convert: Callable[[Document], T]) -> list[T]:
        found: list[T] = []
        with self._failing:
            async with cursor:
                while batch := await cursor.to_list(BATCH):
                    found.extend(map(convert, batch))
        return found

    async def _changed_ids(self, ids: Collection[str], changed: UpdateResult, mark: Document) -> set[str]:
        """Those of the ids whose documents an update has changed; by their mark, if not all were."""
        if changed.modified_count in (0, len(ids)):
            return set(ids) if changed.modified_count else set()
        where = {"_id": {"$in": list(ids)}, **mark}
        cursor = self._requests.find(where, {"_id": 1}, hint=d.BY_ID, batch_size=BATCH)
        return set(await self._read(cursor, to_id))


def to_id(document: Document) -> str:
    """The id of a request or a tombstone."""
    return str(document["_id"])
