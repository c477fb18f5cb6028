"""Requests in MongoDB: for several machines. A stand-alone server does as well as a replica set.

Each change is one operation on one document, which MongoDB makes atomic, with the expected state and attempt
in its filter; it is durable on a majority of the members before it returns. There are no transactions, which
a stand-alone server has not. How requests lie there: :mod:`polytope_server.request_store.mongodb_documents`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument, UpdateOne, timeout
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import DuplicateKeyError

from polytope_server.mongodb import Connection, Document, MongoDBHostSettings, Operations
from polytope_server.mongodb_schema import prepare
from polytope_server.request import Request, Status, check_transition
from polytope_server.request_store import (
    DuplicateRequestError,
    RequestStore,
    Sketch,
    StoreUnavailableError,
    without_secrets,
)
from polytope_server.request_store import mongodb_documents as d
from polytope_server.request_store.mongodb_leases import Leases
from polytope_server.request_store.mongodb_retention import MongoDBRetention

T = TypeVar("T")

#: The name that earlier servers gave their database.
_DATABASE = "request_store"
#: Documents at a time: the event loop has other work between them.
_BATCH = 1000


class MongoDBRequestStoreSettings(MongoDBHostSettings):
    """Keys of the request store `mongodb`."""

    collection: str = Field(
        "requests",
        pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="Collection of the database `request_store`; others beside it begin with its name.",
    )
    log_level: str | None = Field(None, description="Key of the earlier server; no effect.")


class MongoDBRequestStore(MongoDBRetention, RequestStore):
    """Requests as documents of one collection, leases as those of another beside it."""

    Settings = MongoDBRequestStoreSettings

    def __init__(self, settings: MongoDBRequestStoreSettings, data: Path) -> None:
        self._connection = Connection.at(settings)
        self._name = settings.collection
        self._order = d.SubmissionOrder()
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

    async def add(self, request: Request) -> None:
        document = d.to_document(request, self._order.next())
        try:
            with self._failing:
                await self._requests.insert_one(document)
        except DuplicateKeyError as error:
            raise DuplicateRequestError(f"request {request.id} is stored already") from error

    async def get(self, request_id: str) -> Request | None:
        with self._failing:
            document = await self._requests.find_one({"_id": request_id})
        return d.to_request(document) if document is not None and "state" in document else None

    async def find(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        where = d.condition(user_id=user_id, collection=collection, statuses=statuses)
        index = d.BY_STATE if user_id is None else d.BY_USER
        return await self._sorted(where, "sequence", index, limit)

    async def _sorted(self, where: Document, order: str, index: d.Index, limit: int | None) -> list[Request]:
        if limit is not None and limit <= 0:  # for MongoDB, 0 is no limit
            return []
        found = self._requests.find(where, sort=[(order, 1)], hint=index, limit=limit or 0, batch_size=_BATCH)
        return await self._read(found, d.to_request)

    async def _read(self, cursor: AsyncCursor[Document], convert: Callable[[Document], T]) -> list[T]:
        found: list[T] = []
        with self._failing:
            async with cursor:
                while batch := await cursor.to_list(_BATCH):
                    found.extend(map(convert, batch))
        return found

    async def count(self, *, user_id: str | None = None, statuses: Collection[Status] | None = None) -> int:
        where = d.condition(user_id=user_id, statuses=statuses)
        with self._failing:
            return await self._requests.count_documents(
                where, hint=d.BY_STATE if user_id is None else d.BY_USER
            )

    async def _ids(self, where: Document) -> set[str]:
        cursor = self._requests.find(where, {"_id": 1}, hint=d.BY_ID, batch_size=_BATCH)
        return set(await self._read(cursor, lambda document: str(document["_id"])))

    async def transition(
        self, request_id: str, expect: Status, attempt: int, to: Status, **changes: Any
    ) -> Request | None:
        check_transition(expect, to)
        fields, first = d.step(to, time.time())
        for name, value in without_secrets(to, changes).items():
            fields[name] = d.encode(name, value)
        return await self._change(
            {"_id": request_id, "state": str(expect), "attempt": attempt}, {"$set": fields, "$min": first}
        )

    async def _change(self, where: Document, update: Document) -> Request | None:
        with self._failing:
            document = await self._requests.find_one_and_update(
                where, update, return_document=ReturnDocument.AFTER, hint=d.BY_ID
            )
        return None if document is None else d.to_request(document)

    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        with self._failing:
            lead = await self._leases.find("broker", leader, term)
        if lead is None or not request_ids:
            return set()
        fields, first = d.step(Status.QUEUED, time.time())
        fields["promotion"] = promotion = ObjectId()
        ids = d.some(request_ids)
        where = {"_id": ids, "state": str(Status.WAITING), **lead.condition()}
        with self._failing, timeout(lead.margin):
            changed = await self._requests.update_many(where, {"$set": fields, "$min": first}, hint=d.BY_ID)
        if changed.modified_count in (0, len(request_ids)):
            return set(request_ids) if changed.modified_count else set()
        return await self._ids({"_id": ids, "promotion": promotion})

    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        claimed = []
        for request_id in request_ids:
            now = time.time()
            fields, first = d.step(Status.PROCESSING, now)
            fields |= {"worker": worker, "lease_until": now + lease}
            request = await self._change(
                {"_id": request_id, "state": str(Status.QUEUED)},
                {"$set": fields, "$inc": {"attempt": 1}, "$min": first},
            )
            if request is not None:
                claimed.append(request)
        return claimed

    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        if not claims:
            return set()
        held = {"state": str(Status.PROCESSING), "worker": worker}
        update = {"$set": {"lease_until": time.time() + lease}}
        updates = [
            UpdateOne({"_id": request_id, "attempt": attempt, **held}, update, hint=d.BY_ID)
            for request_id, attempt in claims
        ]
        with self._failing:
            done = await self._requests.bulk_write(updates, ordered=False)
        ids = [request_id for request_id, _ in claims]
        if done.matched_count == len(claims):
            return set(ids)
        return await self._ids({"_id": {"$in": ids}, **held, **update["$set"]})

    async def expired(self, now: float) -> list[Request]:
        where = {"state": str(Status.PROCESSING), "lease_until": {"$lt": now}}
        return await self._sorted(where, "lease_until", d.BY_LEASE, None)

    async def sketches(
        self, statuses: Collection[Status], request_ids: Sequence[str] | None = None
    ) -> list[Sketch]:
        where = d.condition(statuses=statuses)
        if request_ids is None:
            cursor = self._requests.find(
                where, d.SKETCH, sort=[("sequence", 1)], hint=d.BY_STATE, batch_size=_BATCH
            )
            return await self._read(cursor, d.to_sketch)
        where["_id"] = {"$in": list(request_ids)}
        fields = d.SKETCH | {"sequence": 1}
        cursor = self._requests.find(where, fields, hint=d.BY_ID, batch_size=_BATCH)
        found = await self._read(cursor, lambda document: (document["sequence"], d.to_sketch(document)))
        return [sketch for _, sketch in sorted(found, key=lambda pair: pair[0])]

    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        where = {"_id": request_id, **d.condition(user_id=user_id, statuses=statuses)}
        with self._failing:
            document = await self._requests.find_one_and_delete(where, hint=d.BY_ID)
        return None if document is None else d.to_request(document)

    async def remove_all(self, user_id: str, statuses: Collection[Status]) -> list[Request]:
        """Each request is taken out of its state, atomically, before all are read and deleted."""
        where = d.condition(user_id=user_id, statuses=statuses)
        now = datetime.now(UTC).replace(tzinfo=None)
        # To the millisecond, as MongoDB keeps it.
        mark = {"removed_at": now.replace(microsecond=now.microsecond // 1000 * 1000), "removal": ObjectId()}
        with self._failing:
            marked = await self._requests.update_many(
                where,
                {"$set": mark, "$rename": {"state": "removed_from"}, "$unset": {"sealed": ""}},
                hint=d.BY_USER,
            )
        if not marked.modified_count:
            return []
        cursor = self._requests.find(mark, hint=d.BY_REMOVAL, batch_size=_BATCH)
        removed = await self._read(cursor, lambda document: (document["sequence"], d.to_request(document)))
        with self._failing:
            await self._requests.delete_many(mark, hint=d.BY_REMOVAL)
        return [request for _, request in sorted(removed, key=lambda pair: pair[0])]

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        with self._failing:
            return await self._leases.take(name, holder, seconds)

    async def resign(self, name: str, holder: str) -> None:
        with self._failing:
            await self._leases.give_back(name, holder)

    async def wipe(self) -> None:
        with self._failing:
            ours = [{"sequence": {"$exists": True}}, {"tombstone": {"$exists": True}}]
            await self._requests.delete_many({"$or": ours})
            await self._leases.wipe()
