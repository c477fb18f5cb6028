"""The broker's part of the request store in MongoDB: what it reads of many requests at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from polytope_server.drivers.mongodb import Document
from polytope_server.request import Status
from polytope_server.request_store import Digest, RequestSummary
from polytope_server.request_store.mongodb import documents as d
from polytope_server.request_store.mongodb.access import BATCH, MongoDBAccess


class MongoDBSummaries(MongoDBAccess):
    """Each method but :meth:`active` and :meth:`waiting` is one operation."""

    async def summaries(
        self, statuses: Collection[Status], request_ids: Sequence[str]
    ) -> list[RequestSummary]:
        where = d.condition(statuses=statuses) | {"_id": {"$in": list(request_ids)}}
        cursor = self._requests.find(where, d.SUMMARY, hint=d.BY_ID, batch_size=BATCH)
        return sorted(await self._read(cursor, d.to_summary), key=d.SEQUENCE)

    async def active(self, after: int, limit: int) -> list[RequestSummary]:
        return await self._slice((Status.QUEUED, Status.PROCESSING), {"$gt": after}, limit)

    async def waiting(self, after: int, until: int | None, limit: int) -> list[RequestSummary]:
        end = {} if until is None else {"$lte": until}
        return await self._slice((Status.WAITING,), {"$gt": after, **end}, limit)

    async def _slice(
        self, statuses: Collection[Status], bounds: Document, limit: int
    ) -> list[RequestSummary]:
        where = d.condition(statuses=statuses)
        found = await self._first(where | {"sequence": bounds}, limit)
        if len(found) < limit:
            return found
        # Requests that two processes have added within one microsecond may go on behind the last one.
        last = found[-1].sequence
        before = [summary for summary in found if summary.sequence < last]
        return before or await self._first(where | {"sequence": last}, 0)

    async def _first(self, where: Document, limit: int) -> list[RequestSummary]:
        cursor = self._requests.find(
            where, d.SUMMARY, sort=[("sequence", 1)], hint=d.BY_STATE, limit=limit, batch_size=BATCH
        )
        return await self._read(cursor, d.to_summary)

    async def digest(self, after: int, until: int, limit: int) -> Digest:
        where = d.condition(statuses=[Status.WAITING]) | {"sequence": {"$gt": after, "$lte": until}}
        with self._failing:
            cursor = await self._requests.aggregate(d.digest_of(where, limit), hint=dict(d.BY_STATE))
            found = await cursor.to_list(1)
        return Digest(*(found[0][name] for name in ("count", "total", "squares"))) if found else Digest()
