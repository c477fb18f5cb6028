"""The garbage collector's part of the request store in MongoDB.

A tombstone is what remains of the document of the request, which one operation has emptied. It has no
`state`, so that nothing finds it that looks for requests.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, timeout
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.read_concern import ReadConcern

from polytope_server.drivers.mongodb import Document
from polytope_server.request import TERMINAL, Status
from polytope_server.request_store.mongodb import documents as d
from polytope_server.request_store.mongodb.access import MongoDBAccess, to_id
from polytope_server.request_store.retention import Retention, Summary, Tombstone, Usage

#: Tombstones that are forgotten in one operation.
_TOMBSTONES = 1000
#: Seconds for the sums of all users, for which the whole index is read.
_SUM_TIME = 60.0
_SUMMARY = {"_id": 1, "user_id": 1, "content_length": 1, "last_modified": 1}


class MongoDBRetention(MongoDBAccess, Retention):
    """Tombstones are in the collection of requests."""

    #: Whether the server has others that could take its place, once that is known.
    _replicated: bool | None = None

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        where = {"_id": {"$in": list(request_ids)}, "state": {"$exists": True}}
        return {document["_id"] for document in await self._confirmed(where, {"_id": 1})}

    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        where = {"_id": {"$in": list(request_ids)}, **d.condition(statuses=TERMINAL)}
        found = await self._confirmed(where, {"_id": 1, **d.STAGED})
        return {document["_id"]: d.to_staged_name(document) for document in found}

    async def _confirmed(self, where: Document, fields: Document) -> list[Document]:
        """What is found of the ids in `where`; a primary that was deposed does not answer."""
        size = len(where["_id"]["$in"])
        if not size:
            return []
        if self._replicated is None:
            with self._failing:
                self._replicated = await self._connection.is_replicated()
        # A server that is alone does not know this kind of reading, and needs none.
        concern = ReadConcern("linearizable" if self._replicated else "local")
        confirmed = self._requests.with_options(read_concern=concern)
        # All in one batch: a further one is not confirmed.
        cursor = confirmed.find(where, fields, hint=d.BY_ID, batch_size=size + 1)
        return await self._read(cursor, lambda document: document)

    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        where = d.condition(statuses=[status]) | {"last_modified": {"$lt": await self.clock() - age}}
        return await self._oldest(where, d.BY_AGE, limit)

    async def _oldest(self, where: Document, index: d.Index, limit: int) -> list[Summary]:
        found = self._requests.find(
            where, _SUMMARY, sort=[("last_modified", ASCENDING)], hint=index, limit=limit
        )
        return await self._read(found, _to_summary)

    async def touch(self, request_id: str) -> None:
        where = {"_id": request_id, "state": str(Status.UPLOADING)}
        with self._failing:
            await self._requests.update_one(where, [{"$set": {"last_modified": d.NOW}}], hint=d.BY_ID)

    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        where = {
            "_id": {"$in": list(request_ids)},
            "state": str(Status.PROCESSED),
            "downloaded": {"$exists": False},
        }
        with self._failing:
            await self._requests.update_many(where, [{"$set": {"downloaded": d.NOW}}], hint=d.BY_ID)

    async def usage(self, limit: int) -> list[Usage]:
        steps: list[Document] = [
            {"$match": d.condition(statuses=[Status.PROCESSED])},
            {"$group": {"_id": "$user_id", "size": {"$sum": "$content_length"}}},
            {"$sort": {"size": -1}},
            {"$limit": limit},
        ]
        with self._failing, timeout(_SUM_TIME):
            cursor = await self._requests.aggregate(steps, hint=dict(d.BY_RESULT))
            found = await cursor.to_list()
        return [Usage(document["_id"], int(document["size"])) for document in found]

    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        where = d.condition(user_id=user_id, statuses=[Status.PROCESSED])
        # Not with $or: that would have the documents read.
        conditions = {"last_modified": {"$lt": await self.clock() - age}}, {"downloaded": {"$gt": 0}}
        found = [await self._oldest(where | condition, d.BY_RESULT, limit) for condition in conditions]
        both = {summary.id: summary for summary in heapq.merge(*found, key=lambda one: one.last_modified)}
        return list(both.values())[:limit]

    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        ids, burial = list(request_ids), ObjectId()
        tombstone = {"removed_at": d.NOW, "reason": {"$literal": reason}, "burial": burial}
        update = [{"$replaceWith": {"_id": "$_id", "user_id": "$user_id", "tombstone": tombstone}}]
        with self._failing:
            changed = await self._requests.update_many(
                {"_id": {"$in": ids}, "state": str(status)}, update, hint=d.BY_ID
            )
        return await self._changed_ids(ids, changed, {"tombstone.burial": burial})

    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        where = {"_id": request_id, "user_id": user_id, "tombstone": {"$exists": True}}
        with self._failing:
            document = await self._requests.find_one(where, {"tombstone": 1}, hint=d.BY_ID)
        if document is None:
            return None
        return Tombstone(document["tombstone"]["removed_at"], document["tombstone"]["reason"])

    async def trim_tombstones(self, user_id: str, most: int) -> int:
        where = {"user_id": user_id, "tombstone.removed_at": {"$gt": 0}}
        found = self._requests.find(
            where,
            {"_id": 1},
            sort=[("tombstone.removed_at", DESCENDING)],
            hint=d.BY_TOMBSTONE,
            skip=most,
            limit=_TOMBSTONES,
        )
        return await self._forget(found)

    async def remove_tombstones(self, age: float, limit: int) -> int:
        where = {"tombstone.removed_at": {"$lt": await self.clock() - age}}
        order = [("tombstone.removed_at", ASCENDING)]
        return await self._forget(
            self._requests.find(where, {"_id": 1}, sort=order, hint=d.BY_BURIAL, limit=limit)
        )

    async def _forget(self, cursor: AsyncCursor[Document]) -> int:
        ids = await self._read(cursor, to_id)
        if not ids:
            return 0
        with self._failing:
            done = await self._requests.delete_many(
                {"_id": {"$in": ids}, "tombstone": {"$exists": True}}, hint=d.BY_ID
            )
        return done.deleted_count


def _to_summary(document: Document) -> Summary:
    size = document["content_length"] or 0
    return Summary(document["_id"], document["user_id"], size, document["last_modified"])
