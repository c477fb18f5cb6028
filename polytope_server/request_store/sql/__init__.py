"""Requests in SQLite, the embedded request store, or in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from polytope_server.drivers.sql import Database, UniqueViolationError, text_size
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.request import Request, Status, check_transition
from polytope_server.request_store import (
    PAGE,
    PAGE_SIZE,
    DuplicateRequestError,
    Page,
    Removed,
    RequestStore,
    Selection,
    without_secrets,
)
from polytope_server.request_store.sql.retention import SQLRetention
from polytope_server.request_store.sql.rows import (
    ALL,
    INSERT,
    STAGED,
    conditions,
    encode,
    selected,
    to_request,
    to_row,
    to_staged_name,
)
from polytope_server.request_store.sql.summaries import SQLSummaries
from polytope_server.request_store.url import with_url


class SQLRequestStore(SQLRetention, SQLSummaries, RequestStore):
    """Requests as rows of one table. Each method is one transaction."""

    Settings = SQLSettings

    def __init__(self, settings: SQLSettings, data: Path, database: Database | None = None) -> None:
        super().__init__(settings, data, database)
        dialect = self._dialect
        # Sets the time of the first entry into a state, and leaves the time of an earlier one.
        self._now = now = dialect.began
        history = dialect.with_default("status_history", "to", now)
        self._enter = f"UPDATE requests SET status = :to, last_modified = {now}, status_history = {history}"
        # No other broker can take the lead before what depends on it is done.
        self._leading = (
            "EXISTS (SELECT 1 FROM leases WHERE name = 'broker' AND holder = :leader AND term = :term "
            f"{dialect.held})"
        )

    async def add(self, request: Request) -> None:
        try:
            await self._write(INSERT, to_row(request))
        except UniqueViolationError as error:
            raise DuplicateRequestError(f"request {request.id} is stored already") from error

    async def get(self, request_id: str) -> Request | None:
        rows = await self._read(f"SELECT {ALL} FROM requests WHERE id = :id", {"id": request_id})
        return to_request(rows[0]) if rows else None

    async def find(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        where, parameters = conditions(
            self._dialect, user_id=user_id, collection=collection, statuses=_known(statuses)
        )
        sql = f"SELECT {ALL} FROM requests WHERE {where} ORDER BY sequence"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT :limit", parameters | {"limit": limit}
        return [to_request(row) for row in await self._read(sql, parameters)]

    async def page(self, selection: Selection) -> Page:
        sql, parameters = selected(self._dialect, f"{ALL}, sequence", selection, PAGE)
        rows = await self._read_first(sql, parameters)
        # A page that was cut by its size may have been the last one; then the next is empty.
        full = len(rows) == PAGE or sum(map(text_size, rows)) >= PAGE_SIZE
        return Page([to_request(row[:-1]) for row in rows], rows[-1][-1] if full else None)

    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        newest, parameters = selected(self._dialect, "sequence", selection, newer + 1, "sequence DESC")
        sql = f"SELECT count(*), min(sequence) FROM ({newest}) AS newest"
        ((number, place),) = await self._read_aside(sql, parameters)
        return int(place) if number > newer else None

    async def count(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> int:
        where, parameters = conditions(
            self._dialect, user_id=user_id, collection=collection, statuses=_known(statuses)
        )
        found = f"SELECT 1 FROM requests WHERE {where}"
        if limit is not None:
            found, parameters = f"{found} LIMIT :limit", parameters | {"limit": limit}
        ((number,),) = await self._read_aside(f"SELECT count(*) FROM ({found}) AS found", parameters)
        return int(number)

    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        where, parameters = conditions(self._dialect, user_id=user_id, statuses=statuses)
        sizes = " + ".join(map(self._dialect.octets.format, ("user_request", "coerced_request")))
        sql = f"SELECT COALESCE(sum({sizes}), 0) FROM requests WHERE {where}"
        ((size,),) = await self._read_aside(sql, parameters)
        return int(size)

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
        where = "id = :id AND status = :expect AND attempt = :attempt"
        parameters = {"id": request_id, "expect": expect, "attempt": attempt}
        return await self._change(where, parameters, expect, to, delay, changes)

    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        where = f"id = :id AND status = 'processing' AND attempt = :attempt AND lease_until < {self._now}"
        parameters = {"id": request_id, "attempt": attempt}
        return await self._change(where, parameters, Status.PROCESSING, to, delay, changes)

    async def _change(
        self,
        where: str,
        parameters: dict[str, Any],
        expect: Status,
        to: Status,
        delay: float | None,
        changes: Mapping[str, Any],
    ) -> Request | None:
        check_transition(expect, to)
        changes = with_url(without_secrets(to, changes))
        settings = "".join(f", {column} = :set_{column}" for column in changes)
        parameters |= {f"set_{name}": encode(name, value) for name, value in changes.items()} | {"to": to}
        if delay is not None:
            settings += f", not_before = {self._now} + :delay"
            parameters["delay"] = float(delay)
        sql = f"{self._enter}{settings} WHERE {where} RETURNING {ALL}"
        rows = (await self._write(sql, parameters)).rows
        return to_request(rows[0]) if rows else None

    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        where, parameters = conditions(self._dialect, ids=request_ids, statuses=[Status.WAITING])
        sql = f"{self._enter} WHERE {self._in_order(where)} AND {self._leading} RETURNING id"
        parameters |= {"to": Status.QUEUED, "leader": leader, "term": term}
        return {row[0] for row in (await self._write(sql, parameters)).rows}

    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        where, parameters = conditions(self._dialect, ids=request_ids, statuses=[Status.QUEUED])
        sql = (
            f"{self._enter}, attempt = attempt + 1, worker = :worker, lease_until = {self._now} + :lease "
            f"WHERE {self._in_order(where)} RETURNING {ALL}"
        )
        parameters |= {"to": Status.PROCESSING, "worker": worker, "lease": float(lease)}
        return [to_request(row) for row in (await self._write(sql, parameters)).rows]

    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        ids = [request_id for request_id, _ in claims]
        where, parameters = conditions(self._dialect, ids=ids, statuses=[Status.PROCESSING])
        # A claim as one text: there is no way of writing a list of pairs that every database knows.
        held = self._dialect.among("(id || ' ' || attempt)", "claims")
        sql = (
            f"UPDATE requests SET lease_until = {self._now} + :lease "
            f"WHERE {self._in_order(f'{where} AND {held} AND worker = :worker')} RETURNING id"
        )
        named = [f"{request_id} {attempt}" for request_id, attempt in claims]
        parameters |= {"lease": float(lease), "worker": worker, "claims": self._dialect.listed(named)}
        return {row[0] for row in (await self._write(sql, parameters)).rows}

    async def expired(self, limit: int) -> list[Request]:
        sql = f"SELECT {ALL} FROM requests WHERE status = 'processing' AND lease_until < {self._now}"
        rows = await self._read(f"{sql} ORDER BY lease_until LIMIT :limit", {"limit": limit})
        return [to_request(row) for row in rows]

    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        where, parameters = conditions(
            self._dialect, ids=[request_id], user_id=user_id, statuses=_known(statuses)
        )
        rows = (await self._write(f"DELETE FROM requests WHERE {where} RETURNING {ALL}", parameters)).rows
        return to_request(rows[0]) if rows else None

    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        sql, parameters = selected(self._dialect, "id, sequence", selection, PAGE)
        found = await self._read(sql, parameters)
        where, parameters = conditions(
            self._dialect,
            ids=[row[0] for row in found],
            user_id=selection.user_id,
            statuses=selection.statuses,
        )
        sql = f"DELETE FROM requests WHERE {self._in_order(where)} RETURNING id, collection, status, {STAGED}"
        rows = (await self._write(sql, parameters)).rows if found else []
        removed = [
            Removed(name, collection, Status(status), to_staged_name(*staged))
            for name, collection, status, *staged in rows
        ]
        return removed, found[-1][-1] if len(found) == PAGE else None

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        # By one clock, that of the database, however far those of the brokers' machines are apart.
        now = self._dialect.clock
        sql = (
            f"INSERT INTO leases (name, holder, until, term) VALUES (:name, :holder, {now} + :seconds, 1) "
            "ON CONFLICT (name) DO UPDATE SET holder = :holder, until = excluded.until, "
            "term = leases.term + CASE WHEN leases.holder = :holder THEN 0 ELSE 1 END "
            f"WHERE leases.holder = :holder OR leases.until < {now} RETURNING term"
        )
        parameters = {"name": name, "holder": holder, "seconds": float(seconds)}
        rows = (await self._write(sql, parameters)).rows
        return int(rows[0][0]) if rows else None

    async def resign(self, name: str, holder: str) -> None:
        sql = "UPDATE leases SET until = 0, holder = '' WHERE name = :name AND holder = :holder"
        await self._write(sql, {"name": name, "holder": holder})


def _known(statuses: Collection[Status] | None) -> Collection[Status]:
    """Those states, by default all that this version knows: what is in others is not its business."""
    return list(Status) if statuses is None else statuses
