"""Metrics in MongoDB.

A document has the UUID of its metric as `_id`. Those of the earlier server, which have another kind of `_id`,
are neither read nor removed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from pathlib import Path

from pydantic import Field
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from polytope_server.drivers.mongodb import (
    Connection,
    Document,
    MongoDBSettings,
    MongoDBUnavailableError,
)
from polytope_server.drivers.mongodb.schema import MongoDBSchema, prepare
from polytope_server.metric_store import MetricStore, RequestStatusChange

_SCHEMA = MongoDBSchema(1, (IndexModel("timestamp"),))
_OURS: Document = {"_id": {"$type": "string"}}
_DUPLICATE = 11000
_NAMES = tuple(field.name for field in fields(RequestStatusChange))


class MongoDBMetricStoreSettings(MongoDBSettings):
    """Keys of the metric store `mongodb`."""

    database: str = Field("metric_store", min_length=1, description="Name of the database.")
    collection: str = Field("metrics", min_length=1, description="Name of the collection.")
    log_level: str | None = Field(None, description="Key of the earlier server; no effect.")


class MongoDBMetricStore(MetricStore):
    """A document a metric. Every method may raise
    :class:`~polytope_server.runtime.unavailable.UnavailableError`.
    """

    Settings = MongoDBMetricStoreSettings

    def __init__(self, settings: MongoDBMetricStoreSettings, data: Path) -> None:
        self._connection = Connection.at(settings)
        self._names = (settings.database, settings.collection)

    async def open(self) -> None:
        await self._connection.open(lambda: prepare(self._metrics(), _SCHEMA))

    async def close(self) -> None:
        await self._connection.close()

    async def add(self, *metrics: RequestStatusChange) -> None:
        if not metrics:
            return
        documents = [_document_of_metric(metric) for metric in metrics]
        with self._connection.failing_with(MongoDBUnavailableError):
            try:
                await self._metrics().insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if not _only_duplicates(error):
                    raise

    async def find(
        self, *, since: float = 0.0, statuses: Collection[str] | None = None
    ) -> list[RequestStatusChange]:
        wanted = _OURS | {"timestamp": {"$gte": since}}
        if statuses is not None:
            wanted |= {"status": {"$in": list(statuses)}}
        with self._connection.failing_with(MongoDBUnavailableError):
            return [
                _metric_of_document(found) async for found in self._metrics().find(wanted).sort("timestamp")
            ]

    async def remove_old(self, before: float, limit: int) -> int:
        wanted = _OURS | {"timestamp": {"$lt": before}}
        with self._connection.failing_with(MongoDBUnavailableError):
            found = self._metrics().find(wanted, {"_id": 1}, sort=[("timestamp", 1)], limit=limit)
            ids = [document["_id"] async for document in found]
            if not ids:
                return 0
            done = await self._metrics().delete_many({"_id": {"$in": ids}})
        return done.deleted_count

    def _metrics(self) -> AsyncCollection[Document]:
        return self._connection.collection(*self._names)


def _document_of_metric(metric: RequestStatusChange) -> Document:
    document = asdict(metric)
    return {"_id": document.pop("uuid"), **document}


def _metric_of_document(document: Document) -> RequestStatusChange:
    # Not those that a later version may have added.
    return RequestStatusChange(
        uuid=document["_id"], **{name: document[name] for name in _NAMES if name != "uuid"}
    )


def _only_duplicates(error: BulkWriteError) -> bool:
    details = error.details or {}
    failed = details.get("writeErrors", [])
    return (
        bool(failed)
        and not details.get("writeConcernErrors")
        and all(one.get("code") == _DUPLICATE for one in failed)
    )
