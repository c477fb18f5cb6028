"""API keys in SQLite or PostgreSQL."""

# ruff: noqa: S608 -- statements are put together from names of this module; values are parameters

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from polytope_server.accounts.api_keys.stored import (
    MOST_KEYS,
    StoredAPIKeys,
    StoredAPIKeysSettings,
    StoredKey,
)
from polytope_server.accounts.sql_database import CredentialDatabase
from polytope_server.drivers.sql import Row, Schema
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.user import User

_SCHEMA = Schema(
    "api_keys",
    1,
    """
CREATE TABLE IF NOT EXISTS api_keys (
    sequence {sequence}, hash {bytes} NOT NULL UNIQUE, prefix {text} NOT NULL, username {text} NOT NULL,
    realm {text} NOT NULL, created {real} NOT NULL, expires {real} NOT NULL, last_used {real}
);
CREATE INDEX IF NOT EXISTS api_keys_owner ON api_keys (realm, username);
CREATE INDEX IF NOT EXISTS api_keys_expires ON api_keys (expires)
""",
)
_NAMES = tuple(field.name for field in fields(StoredKey))
_COLUMNS = ", ".join(_NAMES)
_OWNED = "realm = :realm AND username = :username"
_INSERT = f"INSERT INTO api_keys ({_COLUMNS}) VALUES (:{', :'.join(_NAMES)})"
#: Keys that are read at a time: what embedded databases read holds up everything else.
_PAGE = 500
#: All but the newest of a user.
_TRIM = (
    f"DELETE FROM api_keys WHERE {_OWNED} AND sequence NOT IN "
    f"(SELECT sequence FROM api_keys WHERE {_OWNED} ORDER BY sequence DESC LIMIT {MOST_KEYS})"
)


class SQLAPIKeysSettings(StoredAPIKeysSettings, SQLSettings):
    """Keys of `api-keys.generator` and `api-keys.authenticator` of type `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


class SQLAPIKeys(StoredAPIKeys):
    """A row a key."""

    Settings = SQLAPIKeysSettings

    def __init__(
        self,
        settings: SQLAPIKeysSettings,
        data: Path,
        *,
        database: CredentialDatabase | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(settings.allowed_realms, settings.expiry, clock)
        self._database = database or CredentialDatabase(settings.url, data)

    async def open(self) -> None:
        await self._database.open(_SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def insert(self, key: StoredKey) -> None:
        owner = {"realm": key.realm, "username": key.username}
        await self._database.write_all(
            [
                ("DELETE FROM api_keys WHERE expires <= :now", {"now": key.created}),
                (_INSERT, asdict(key)),
                (_TRIM, owner),
            ]
        )

    async def find(self, digest: bytes, now: float) -> StoredKey | None:
        sql = f"SELECT {_COLUMNS} FROM api_keys WHERE hash = :hash AND expires > :now"
        rows = await self._database.read(sql, {"hash": digest, "now": now})
        return _key_of_row(rows[0]) if rows else None

    async def find_all(self, user: User, now: float) -> list[StoredKey]:
        sql = f"SELECT {_COLUMNS} FROM api_keys WHERE {_OWNED} AND expires > :now ORDER BY sequence"
        return [
            _key_of_row(row) for row in await self._database.read(sql, _owner_parameters(user) | {"now": now})
        ]

    async def find_realm(self, realm: str, now: float) -> AsyncIterator[StoredKey]:
        sql = (
            f"SELECT {_COLUMNS}, sequence FROM api_keys WHERE realm = :realm AND expires > :now "
            "AND (username, sequence) > (:username, :sequence) ORDER BY username, sequence LIMIT :limit"
        )
        last: tuple[str, int] | None = ("", -1)
        while last is not None:
            place = dict(zip(("username", "sequence"), last, strict=True))
            parameters = {"realm": realm, "now": now, "limit": _PAGE, **place}
            rows = await self._database.read(sql, parameters)
            last = None
            for *columns, sequence in rows:
                key = _key_of_row(columns)
                last = (key.username, sequence)
                yield key

    async def note_use(self, digest: bytes, now: float) -> None:
        sql = "UPDATE api_keys SET last_used = :now WHERE hash = :hash AND COALESCE(last_used, 0) < :now"
        await self._database.write(sql, {"now": now, "hash": digest})

    async def delete(self, user: User, prefix: str | None) -> int:
        sql, parameters = f"DELETE FROM api_keys WHERE {_OWNED}", _owner_parameters(user)
        if prefix is not None:
            sql, parameters = f"{sql} AND prefix = :prefix", parameters | {"prefix": prefix}
        return (await self._database.write(sql, parameters)).changed

    async def delete_realm(self, realm: str) -> int:
        sql = "DELETE FROM api_keys WHERE realm = :realm"
        return (await self._database.write(sql, {"realm": realm})).changed


def _owner_parameters(user: User) -> dict[str, Any]:
    return {"username": user.username, "realm": user.realm}


def _key_of_row(row: Row) -> StoredKey:
    return StoredKey(*row)
