"""The garbage collector's part of the request store in SQL databases."""

# ruff: noqa: S608 -- statements are put together from names of this module; values are parameters

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

from polytope_server.drivers.sql import Parameters
from polytope_server.request import TERMINAL, Status
from polytope_server.request_store.retention import Retention, Summary, Tombstone, Usage
from polytope_server.request_store.sql.access import SQLAccess
from polytope_server.request_store.sql.rows import STAGED, conditions, to_staged_name

_SUMMARY = "id, user_id, COALESCE(content_length, 0), last_modified"
#: Users in one slice of the sums by user.
_USERS = 500
#: Tombstones that are forgotten in one statement.
_TOMBSTONES = 1000


class SQLRetention(SQLAccess, Retention):
    """Each method is one transaction, but for :meth:`usage`, which reads slices."""

    @property
    def _by_results(self) -> str:
        return self._dialect.by_index("requests", "requests_results")

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        where, parameters = conditions(self._dialect, ids=list(request_ids))
        sql = f"SELECT id FROM requests WHERE {where} AND {self._dialect.on_primary}"
        return {row[0] for row in await self._read(sql, parameters)}

    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        where, parameters = conditions(self._dialect, ids=list(request_ids), statuses=TERMINAL)
        sql = f"SELECT id, {STAGED} FROM requests WHERE {where} AND {self._dialect.on_primary}"
        rows = await self._read(sql, parameters)
        return {request_id: to_staged_name(*staged) for request_id, *staged in rows}

    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        where, parameters = conditions(self._dialect, statuses=[status])
        sql = (
            f"SELECT {_SUMMARY} FROM requests WHERE {where} AND {self._is_older('last_modified')} "
            "ORDER BY last_modified LIMIT :limit"
        )
        return [
            Summary(*row) for row in await self._read(sql, parameters | {"age": float(age), "limit": limit})
        ]

    def _is_older(self, column: str) -> str:
        """The condition that the time in a column is longer ago than the parameter `age`."""
        # A value, and not a function that is called for each row: so that an index serves.
        return f"{column} < (SELECT {self._dialect.clock} - :age)"

    async def touch(self, request_id: str) -> None:
        where, parameters = conditions(self._dialect, ids=[request_id], statuses=[Status.UPLOADING])
        await self._write(
            f"UPDATE requests SET last_modified = {self._dialect.clock} WHERE {where}", parameters
        )

    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        where, parameters = conditions(self._dialect, ids=list(request_ids), statuses=[Status.PROCESSED])
        where = self._in_order(f"{where} AND downloaded = 0")
        await self._write(f"UPDATE requests SET downloaded = {self._dialect.clock} WHERE {where}", parameters)

    async def usage(self, limit: int) -> list[Usage]:
        sql = (
            f"SELECT user_id, SUM(COALESCE(content_length, 0)) FROM {self._by_results} "
            "WHERE status = 'processed' AND user_id > :after "
            "GROUP BY user_id ORDER BY user_id LIMIT :users"
        )
        most, after = list[tuple[int, str]](), ""
        while rows := await self._read(sql, {"after": after, "users": _USERS}):
            most = heapq.nlargest(limit, [*most, *((int(size), user_id) for user_id, size in rows)])
            after = rows[-1][0]
        return [Usage(user_id, size) for size, user_id in most]

    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        sql = (
            f"SELECT {_SUMMARY} FROM {self._by_results} "
            "WHERE status = 'processed' AND user_id = :user_id "
            f"AND (downloaded > 0 OR {self._is_older('last_modified')}) "
            "ORDER BY last_modified LIMIT :limit"
        )
        rows = await self._read(sql, {"user_id": user_id, "age": float(age), "limit": limit})
        return [Summary(*row) for row in rows]

    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        where, parameters = conditions(self._dialect, ids=list(request_ids), statuses=[status])
        where = self._in_order(where)
        # The rows are locked by the first statement, so that the second finds the same ones.
        note = (
            f"INSERT INTO tombstones (id, user_id, removed_at, reason) "
            f"SELECT id, user_id, {self._dialect.clock}, :reason FROM requests WHERE {where} "
            "ON CONFLICT (id) DO NOTHING"
        )
        removal = f"DELETE FROM requests WHERE {where} RETURNING id"
        outcomes = await self._write_all([(note, parameters | {"reason": reason}), (removal, parameters)])
        return {row[0] for row in outcomes[1].rows}

    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        sql = "SELECT removed_at, reason FROM tombstones WHERE id = :id AND user_id = :user_id"
        rows = await self._read(sql, {"id": request_id, "user_id": user_id})
        return Tombstone(*rows[0]) if rows else None

    async def trim_tombstones(self, user_id: str, most: int) -> int:
        return await self._forget(
            "user_id = :user_id ORDER BY removed_at DESC LIMIT :limit OFFSET :most",
            {"user_id": user_id, "most": most, "limit": _TOMBSTONES},
        )

    async def remove_tombstones(self, age: float, limit: int) -> int:
        return await self._forget(
            f"{self._is_older('removed_at')} ORDER BY removed_at LIMIT :limit",
            {"age": float(age), "limit": limit},
        )

    async def _forget(self, which: str, parameters: Parameters) -> int:
        sql = f"DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE {which})"
        return (await self._write(sql, parameters)).changed
