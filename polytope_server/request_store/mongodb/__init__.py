"""Requests in MongoDB: for several machines. A stand-alone server does as well as a replica set.

Each change is one operation on one document, which MongoDB makes atomic, with the expected state and attempt
in its filter; it is durable on a majority of the members before it returns. There are no transactions, which
a stand-alone server has not. How requests lie there: :mod:`polytope_server.request_store.mongodb.documents`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument, UpdateOne, timeout
from pymongo.errors import DuplicateKeyError

from polytope_server.drivers.mongodb import Document
from polytope_server.request import Request, Status, check_transition
from polytope_server.request_store import (
    DuplicateRequestError,
    Page,
    Removed,
    RequestStore,
    Selection,
    without_secrets,
)
from polytope_server.request_store.mongodb import documents as d
from polytope_server.request_store.mongodb.access import BATCH, MongoDBRequestStoreSettings
from polytope_server.request_store.mongodb.retention import MongoDBRetention
from polytope_server.request_store.mongodb.selections import Selections
from polytope_server.request_store.mongodb.summaries import MongoDBSummaries


class MongoDBRequestStore(MongoDBRetention, MongoDBSummaries, RequestStore):
    """Requests as documents of one collection, leases as those of another beside it."""

    Settings = MongoDBRequestStoreSettings

    def __init__(self, settings: MongoDBRequestStoreSettings, data: Path) -> None:
        super().__init__(settings)
        self._order = d.SubmissionOrder(self.local_clock.now)

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
        found = self._requests.find(where, sort=[(order, 1)], hint=index, limit=limit or 0, batch_size=BATCH)
        return await self._read(found, d.to_request)

    async def page(self, selection: Selection) -> Page:
        with self._failing:
            return await Selections(self._requests).page(selection)

    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        with self._failing:
            return await Selections(self._requests).place(selection, newer)

    async def count(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> int:
        where = d.condition(user_id=user_id, collection=collection, statuses=statuses)
        index = d.BY_STATE if user_id is None else d.BY_USER if collection is None else d.BY_COLLECTION
        with self._failing:
            # No limit is written as none at all.
            if limit is None:
                return await self._requests.count_documents(where, hint=index)
            return await self._requests.count_documents(where, hint=index, limit=limit)

    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        with self._failing:
            return await Selections(self._requests).text_size(Selection(user_id, statuses))

    async def transition(
        self,
        request_id: str,
        expect: Status,
        attempt: int,
        to: Status,
        *,
        delay: float | None = None,
        **changes: Any,
    ) -> Request | None:
        check_transition(expect, to)
        where = {"_id": request_id, "state": str(expect), "attempt": attempt}
        pause = {} if delay is None else {"not_before": d.after(delay)}
        return await self._change(where, d.step(to, without_secrets(to, changes), **pause))

    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        check_transition(Status.PROCESSING, to)
        where = {"_id": request_id, "state": str(Status.PROCESSING), "attempt": attempt, **d.EXPIRED}
        pause = {} if delay is None else {"not_before": d.after(delay)}
        return await self._change(where, d.step(to, without_secrets(to, changes), **pause))

    async def _change(self, where: Document, update: list[Document]) -> Request | None:
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
        promotion = ObjectId()
        update = d.step(Status.QUEUED, {}, promotion=promotion)
        where = {"_id": d.some(request_ids), "state": str(Status.WAITING), **lead.condition()}
        with self._failing, timeout(lead.margin):
            changed = await self._requests.update_many(where, update, hint=d.BY_ID)
        return await self._changed_ids(request_ids, changed, {"promotion": promotion})

    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        claimed = []
        for request_id in request_ids:
            attempt = {"$add": ["$attempt", 1]}
            update = d.step(
                Status.PROCESSING, {"worker": worker}, lease_until=d.after(lease), attempt=attempt
            )
            request = await self._change({"_id": request_id, "state": str(Status.QUEUED)}, update)
            if request is not None:
                claimed.append(request)
        return claimed

    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        if not claims:
            return set()
        held = {"state": str(Status.PROCESSING), "worker": worker}
        update = [{"$set": {"lease_until": d.after(lease)}}]
        updates = [
            UpdateOne({"_id": request_id, "attempt": attempt, **held}, update, hint=d.BY_ID)
            for request_id, attempt in claims
        ]
        with self._failing:
            done = await self._requests.bulk_write(updates, ordered=False)
        ids = [request_id for request_id, _ in claims]
        if done.matched_count == len(claims):
            return set(ids)
        cursor = self._requests.find({"_id": {"$in": ids}, **held}, {"attempt": 1}, hint=d.BY_ID)
        found = await self._read(cursor, lambda document: (str(document["_id"]), int(document["attempt"])))
        return {request_id for request_id, attempt in found if (request_id, attempt) in claims}

    async def expired(self, limit: int) -> list[Request]:
        where = {"state": str(Status.PROCESSING), **d.EXPIRED}
        return await self._sorted(where, "lease_until", d.BY_LEASE, limit)

    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        where = {"_id": request_id, **d.condition(user_id=user_id, statuses=statuses)}
        with self._failing:
            document = await self._requests.find_one_and_delete(where, hint=d.BY_ID)
        return None if document is None else d.to_request(document)

    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        with self._failing:
            return await Selections(self._requests).remove(selection)

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        with self._failing:
            return await self._leases.take(name, holder, seconds)

    async def resign(self, name: str, holder: str) -> None:
        with self._failing:
            await self._leases.give_back(name, holder)
