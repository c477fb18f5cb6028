"""API keys in SQLite."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from polytope_server.api_keys import APIKeys, KeyEntry, NewKey, RealmNotAllowedError
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.database import CredentialDatabase
from polytope_server.sql import SQLSettings
from polytope_server.user import User

_SCHEMA = """
CREATE TABLE IF NOT EXISTS api_keys (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL,
    username TEXT NOT NULL, realm TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL, last_used REAL
);
CREATE INDEX IF NOT EXISTS api_keys_owner ON api_keys (realm, username);
CREATE INDEX IF NOT EXISTS api_keys_expires ON api_keys (expires)
"""
_OWNED = "realm = :realm AND username = :username"
_INSERT = (
    "INSERT INTO api_keys (hash, prefix, username, realm, created, expires) "
    "VALUES (:hash, :prefix, :username, :realm, :now, :expires)"
)
#: All but the newest of a user.
_TRIM = (
    f"DELETE FROM api_keys WHERE {_OWNED} AND sequence NOT IN "  # noqa: S608 -- names from above
    f"(SELECT sequence FROM api_keys WHERE {_OWNED} ORDER BY sequence DESC LIMIT :most)"
)
#: Live keys of one user.
_MOST = 100
#: The last use is known to so many seconds: a key in steady use costs few writes.
_PRECISION = 60.0
_PREFIX = 8
_log = logging.getLogger(__name__)


class SQLAPIKeysSettings(SQLSettings):
    """Keys of `api-keys.generator` and `api-keys.authenticator` of type `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    allowed_realms: list[str] = Field(
        default_factory=list, description="Realms whose users may create keys (generator only)."
    )
    expiry: int = Field(365, ge=1, le=36500, description="Days after which a new key ends (generator only).")


class SQLAPIKeys(APIKeys):
    """A row a key, found by the SHA-256 of the key: it has 122 random bits, so that needs no salt."""

    Settings = SQLAPIKeysSettings

    def __init__(
        self, settings: SQLAPIKeysSettings, data: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._realms = frozenset(settings.allowed_realms)
        self._expiry = timedelta(days=settings.expiry)
        self._database = CredentialDatabase(settings.url, data)
        self._clock = clock

    async def open(self) -> None:
        await self._database.open(_SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def create(self, user: User) -> NewKey:
        if user.realm not in self._realms:
            raise RealmNotAllowedError(f"Not allowed to create an API Key for users in realm {user.realm}")
        key = str(uuid.uuid4())
        now = self._clock()
        expires = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0) + self._expiry
        row = _owner(user) | {"hash": _hash(key), "prefix": key[:_PREFIX], "now": now, "most": _MOST}
        row["expires"] = expires.timestamp()

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM api_keys WHERE expires <= :now", row)
            connection.execute(_INSERT, row)
            connection.execute(_TRIM, row)

        await self._database.write(insert)
        return NewKey(key, expires)

    async def verify(self, key: str) -> tuple[str, str] | None:
        now = self._clock()
        sql = "SELECT * FROM api_keys WHERE hash = :hash AND expires > :now"
        rows = self._database.read(sql, {"hash": _hash(key), "now": now})
        if not rows:
            return None
        if now - (rows[0]["last_used"] or 0.0) >= _PRECISION:
            await self._note_use(rows[0]["sequence"], now)
        return rows[0]["username"], rows[0]["realm"]

    async def _note_use(self, sequence: int, now: float) -> None:
        sql = "UPDATE api_keys SET last_used = :now WHERE sequence = :sequence"
        parameters = {"now": now, "sequence": sequence}
        try:
            await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount)
        except AuthenticationUnavailableError:
            _log.warning("the use of an API key could not be noted")  # no reason to refuse the key

    async def list_keys(self, user: User) -> list[KeyEntry]:
        columns = "prefix, created, expires, last_used"
        sql = f"SELECT {columns} FROM api_keys WHERE {_OWNED} AND expires > :now ORDER BY sequence"  # noqa: S608
        rows = self._database.read(sql, _owner(user) | {"now": self._clock()})
        return [
            {
                "prefix": row["prefix"],
                "created": row["created"],
                "expires": row["expires"],
                "last_used": row["last_used"],
            }
            for row in rows
        ]

    async def revoke(self, user: User, prefix: str) -> int:
        return await self._delete("prefix = :prefix", _owner(user) | {"prefix": prefix})

    async def revoke_all(self, user: User) -> int:
        return await self._delete("TRUE", _owner(user))

    async def _delete(self, condition: str, parameters: dict[str, Any]) -> int:
        sql = f"DELETE FROM api_keys WHERE {_OWNED} AND {condition}"  # noqa: S608 -- conditions from above
        return await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount)


def _owner(user: User) -> dict[str, Any]:
    return {"username": user.username, "realm": user.realm}


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
