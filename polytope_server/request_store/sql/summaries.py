"""The broker's part of the request store in SQL databases: what it reads of many requests at a time."""

# ruff: noqa: S608 -- statements are put together from names of this module; values are parameters

from __future__ import annotations

from collections.abc import Collection, Sequence

from polytope_server.request import Status
from polytope_server.request_store import Digest, RequestSummary
from polytope_server.request_store.sql.access import SQLAccess
from polytope_server.request_store.sql.rows import ACTIVE, LAST, SUMMARY, WAITING, conditions, to_summary


class SQLSummaries(SQLAccess):
    """Each method is one transaction."""

    async def summaries(
        self, statuses: Collection[Status], request_ids: Sequence[str]
    ) -> list[RequestSummary]:
        where, parameters = conditions(self._dialect, statuses=statuses, ids=request_ids)
        sql = f"SELECT {SUMMARY} FROM requests WHERE {where} ORDER BY sequence"
        return [to_summary(row) for row in await self._read(sql, parameters)]

    async def active(self, after: int, limit: int) -> list[RequestSummary]:
        return await self._slice("requests_active", ACTIVE, after, None, limit)

    async def waiting(self, after: int, until: int | None, limit: int) -> list[RequestSummary]:
        return await self._slice("requests_waiting", WAITING, after, until, limit)

    async def _slice(
        self, index: str, condition: str, after: int, until: int | None, limit: int
    ) -> list[RequestSummary]:
        table = self._dialect.by_index("requests", index)
        sql = (
            f"SELECT {SUMMARY} FROM {table} WHERE {condition} AND sequence > :after AND sequence <= :until "
            "ORDER BY sequence LIMIT :limit"
        )
        bounds = {"after": after, "until": LAST if until is None else until, "limit": limit}
        return [to_summary(row) for row in await self._read(sql, bounds)]

    async def digest(self, after: int, until: int, limit: int) -> Digest:
        table = self._dialect.by_index("requests", "requests_waiting")
        found = (
            f"SELECT sequence % {Digest.MODULUS} AS rest FROM {table} WHERE {WAITING} "
            "AND sequence > :after AND sequence <= :until ORDER BY sequence LIMIT :limit"
        )
        sql = f"SELECT count(*), sum(rest), sum(rest * rest) FROM ({found}) AS found"
        ((count, total, squares),) = await self._read(sql, {"after": after, "until": until, "limit": limit})
        return Digest(count, int(total or 0), int(squares or 0))
