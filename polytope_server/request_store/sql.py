"""Requests in SQLite: the embedded request store."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from polytope_server.request import Request, Status, Verb, check_transition
from polytope_server.request_store import DuplicateRequestError, RequestStore, Sketch, StoreUnavailableError
from polytope_server.sql import Database, DatabaseUnavailableError, SQLSettings
from polytope_server.user import User

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    user TEXT NOT NULL,
    collection TEXT NOT NULL,
    verb TEXT NOT NULL,
    status TEXT NOT NULL,
    timestamp REAL NOT NULL,
    last_modified REAL NOT NULL,
    user_message TEXT NOT NULL,
    user_request TEXT NOT NULL,
    coerced_request TEXT NOT NULL,
    url TEXT NOT NULL,
    md5 TEXT,
    content_length INTEGER,
    content_type TEXT NOT NULL,
    datasource TEXT NOT NULL,
    status_history TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    not_before REAL NOT NULL,
    worker TEXT NOT NULL,
    lease_until REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_user ON requests (user_id, status);
CREATE INDEX IF NOT EXISTS requests_status ON requests (status, last_modified);
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL, term INTEGER NOT NULL
)
"""

#: In the order of the fields of Request, so that a row becomes one without names.
_COLUMNS = tuple(field.name for field in fields(Request))
_ALL = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO requests ({_ALL}, user_id) VALUES (:{', :'.join(_COLUMNS)}, :user_id)"
_JSON = frozenset({"user", "coerced_request", "status_history"})
_decode = json.JSONDecoder().decode
_VERBS = {str(verb): verb for verb in Verb}
_STATUSES = {str(status): status for status in Status}
_SKETCH = "id, collection, user, user_id, status, attempt, not_before, timestamp"
#: Sets the time of the first entry into a state, and leaves the time of an earlier one.
_ENTERED = "status_history = json_insert(status_history, '$.' || :to, :now)"


class SQLRequestStore(RequestStore):
    """Requests as rows of one table; the columns are the fields of :class:`Request`."""

    Settings = SQLSettings

    def __init__(self, settings: SQLSettings, data: Path) -> None:
        self._database = Database.at(settings.url, data)

    async def open(self) -> None:
        try:
            await self._database.open(_SCHEMA)
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error

    async def close(self) -> None:
        await self._database.close()

    def _read(self, sql: str, parameters: dict[str, Any]) -> list[sqlite3.Row]:
        try:
            return self._database.read(sql, parameters)
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.write(work)
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error

    async def add(self, request: Request) -> None:
        row = _to_row(request)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, row)

        try:
            await self._write(insert)
        except sqlite3.IntegrityError as error:
            raise DuplicateRequestError(f"request {request.id} is stored already") from error

    async def get(self, request_id: str) -> Request | None:
        rows = self._read(f"SELECT {_ALL} FROM requests WHERE id = :id", {"id": request_id})
        return _to_request(rows[0]) if rows else None

    async def find(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        where, parameters = _conditions(user_id=user_id, collection=collection, statuses=statuses)
        parameters["limit"] = -1 if limit is None else limit
        rows = self._read(
            f"SELECT {_ALL} FROM requests WHERE {where} ORDER BY sequence LIMIT :limit", parameters
        )
        return [_to_request(row) for row in rows]

    async def count(self, *, user_id: str | None = None, statuses: Collection[Status] | None = None) -> int:
        where, parameters = _conditions(user_id=user_id, statuses=statuses)
        return int(self._read(f"SELECT count(*) FROM requests WHERE {where}", parameters)[0][0])

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        where, parameters = _conditions(ids=list(request_ids))
        return {row["id"] for row in self._read(f"SELECT id FROM requests WHERE {where}", parameters)}

    async def transition(
        self, request_id: str, expect: Status, attempt: int, to: Status, **changes: Any
    ) -> Request | None:
        check_transition(expect, to)
        settings = "".join(f", {column} = :set_{column}" for column in changes)
        sql = (
            f"UPDATE requests SET status = :to, last_modified = :now, {_ENTERED}{settings} "
            f"WHERE id = :id AND status = :expect AND attempt = :attempt RETURNING {_ALL}"
        )
        parameters = {f"set_{name}": _encode(name, value) for name, value in changes.items()}
        parameters |= {"to": to, "now": _now(), "id": request_id, "expect": expect, "attempt": attempt}
        rows = await self._write(lambda connection: connection.execute(sql, parameters).fetchall())
        return _to_request(rows[0]) if rows else None

    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        where, parameters = _conditions(ids=request_ids, statuses=[Status.WAITING])
        sql = (
            f"UPDATE requests SET status = :to, last_modified = :now, {_ENTERED} WHERE {where} AND EXISTS "
            "(SELECT 1 FROM leases WHERE name = 'broker' AND holder = :leader AND term = :term) RETURNING id"
        )
        parameters |= {"to": Status.QUEUED, "now": _now(), "leader": leader, "term": term}
        rows = await self._write(lambda connection: connection.execute(sql, parameters).fetchall())
        return {row["id"] for row in rows}

    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        where, parameters = _conditions(ids=request_ids, statuses=[Status.QUEUED])
        sql = (
            f"UPDATE requests SET status = :to, last_modified = :now, {_ENTERED}, attempt = attempt + 1, "
            f"worker = :worker, lease_until = :now + :lease WHERE {where} RETURNING {_ALL}"
        )
        parameters |= {"to": Status.PROCESSING, "now": _now(), "worker": worker, "lease": lease}
        rows = await self._write(lambda connection: connection.execute(sql, parameters).fetchall())
        return [_to_request(row) for row in rows]

    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        until = time.time() + lease

        def extend(connection: sqlite3.Connection) -> set[str]:
            held = set()
            for request_id, attempt in claims:
                done = connection.execute(
                    "UPDATE requests SET lease_until = :until WHERE id = :id AND attempt = :attempt "
                    "AND worker = :worker AND status = 'processing'",
                    {"until": until, "id": request_id, "attempt": attempt, "worker": worker},
                )
                if done.rowcount:
                    held.add(request_id)
            return held

        return await self._write(extend)

    async def expired(self, now: float) -> list[Request]:
        rows = self._read(
            f"SELECT {_ALL} FROM requests WHERE status = 'processing' AND lease_until < :now", {"now": now}
        )
        return [_to_request(row) for row in rows]

    async def sketches(
        self, statuses: Collection[Status], request_ids: Sequence[str] | None = None
    ) -> list[Sketch]:
        where, parameters = _conditions(statuses=statuses, ids=request_ids)
        rows = self._read(f"SELECT {_SKETCH} FROM requests WHERE {where} ORDER BY sequence", parameters)
        return [_to_sketch(row) for row in rows]

    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        where, parameters = _conditions(ids=[request_id], user_id=user_id, statuses=statuses)
        removed = await self._delete(where, parameters)
        return removed[0] if removed else None

    async def remove_all(self, user_id: str, statuses: Collection[Status]) -> list[Request]:
        return await self._delete(*_conditions(user_id=user_id, statuses=statuses))

    async def _delete(self, where: str, parameters: dict[str, Any]) -> list[Request]:
        sql = f"DELETE FROM requests WHERE {where} RETURNING {_ALL}"
        rows = await self._write(lambda connection: connection.execute(sql, parameters).fetchall())
        return [_to_request(row) for row in rows]

    async def stale(self, statuses: Collection[Status], before: float, limit: int) -> list[Request]:
        where, parameters = _conditions(statuses=statuses)
        parameters |= {"before": before, "limit": limit}
        sql = f"SELECT {_ALL} FROM requests WHERE {where} AND last_modified < :before"
        rows = self._read(f"{sql} ORDER BY last_modified LIMIT :limit", parameters)
        return [_to_request(row) for row in rows]

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        now = time.time()
        parameters = {"name": name, "holder": holder, "now": now, "until": now + seconds}
        sql = (
            "INSERT INTO leases VALUES (:name, :holder, :until, 1) ON CONFLICT (name) DO UPDATE SET "
            "term = term + (holder != :holder), holder = :holder, until = :until "
            "WHERE holder = :holder OR until < :now RETURNING term"
        )
        rows = await self._write(lambda connection: connection.execute(sql, parameters).fetchall())
        return int(rows[0]["term"]) if rows else None

    async def resign(self, name: str, holder: str) -> None:
        sql = "UPDATE leases SET until = 0, holder = '' WHERE name = :name AND holder = :holder"
        await self._write(lambda connection: connection.execute(sql, {"name": name, "holder": holder}))

    async def wipe(self) -> None:
        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM requests")
            connection.execute("DELETE FROM leases")

        await self._write(delete)


def _now() -> float:
    # SQLite's JSON functions keep 15 digits of a number.
    return round(time.time(), 4)


def _conditions(
    *,
    ids: Sequence[str] | None = None,
    user_id: str | None = None,
    collection: str | None = None,
    statuses: Collection[Status] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The WHERE clause of all the conditions given, and its parameters."""
    clauses, parameters = ["1"], dict[str, Any]()
    if ids is not None:
        # One JSON parameter instead of one for each id: no limit on their number, one prepared statement.
        if len(ids) == 1:
            clauses, parameters = ["id = :id"], {"id": ids[0]}
        else:
            clauses.append("id IN (SELECT value FROM json_each(:ids))")
            parameters["ids"] = json.dumps(list(ids))
    if user_id is not None:
        clauses.append("user_id = :user_id")
        parameters["user_id"] = user_id
    if collection is not None:
        clauses.append("collection = :collection")
        parameters["collection"] = collection
    if statuses is not None:
        # The plus sign keeps SQLite from searching by state, among all that wait, where ids are given.
        column = "status" if ids is None else "+status"
        clauses.append(f"{column} IN ({', '.join(repr(str(status)) for status in sorted(statuses))})")
    return " AND ".join(clauses), parameters


def _encode(column: str, value: Any) -> Any:
    return json.dumps(value) if column in _JSON else value


def _to_row(request: Request) -> dict[str, Any]:
    row = {name: _encode(name, getattr(request, name)) for name in _COLUMNS if name != "user"}
    return row | {"user": json.dumps(request.user.to_document()), "user_id": request.user.id}


def _to_request(row: Sequence[Any]) -> Request:
    # PERF: on the path of every poll; by position this takes half of the time that it takes by name.
    user, collection, verb, text, coerced, *times, status, message, url, md5, length, kind, source = row[:15]
    return Request(
        *(_to_user(user), collection, _VERBS[verb], text, _decode(coerced), *times, _STATUSES[status]),
        *(message, url, md5, length, kind, source, _decode(row[15]), *row[16:]),
    )


@lru_cache(maxsize=1000)  # the same few users again and again, on the path of every poll
def _to_user(document: str) -> User:
    return User.from_document(json.loads(document))


def _to_sketch(row: sqlite3.Row) -> Sketch:
    user = _to_user(row["user"])
    return Sketch(
        id=row["id"],
        collection=row["collection"],
        user_id=row["user_id"],
        realm=user.realm,
        roles=user.roles,
        status=Status(row["status"]),
        attempt=row["attempt"],
        not_before=row["not_before"],
        timestamp=row["timestamp"],
    )
