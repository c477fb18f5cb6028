"""Users in SQLite."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.database import CredentialDatabase
from polytope_server.authentication.passwords import Passwords, is_hash
from polytope_server.identity import (
    Identity,
    UnknownUserError,
    UserEntry,
    UserExistsError,
    check_password,
    check_roles,
    check_username,
)
from polytope_server.sql import SQLSettings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    realm TEXT NOT NULL, username TEXT NOT NULL, password TEXT NOT NULL, roles TEXT NOT NULL,
    created REAL NOT NULL, PRIMARY KEY (realm, username)
) WITHOUT ROWID
"""
_ONE = "realm = :realm AND username = :username"
_log = logging.getLogger(__name__)


class ExtraUser(BaseModel):
    """One of the `extra-users`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    uid: str = Field(description="User name.")
    password: SecretStr = Field(description="An argon2 hash (`$argon2id$...`), or clear text.")
    roles: list[str] = Field(default_factory=list, description="Roles of the user.")

    @field_validator("uid")
    @classmethod
    def _name(cls, uid: str) -> str:
        check_username(uid)
        return uid

    @field_validator("password")
    @classmethod
    def _secret(cls, password: SecretStr) -> SecretStr:
        if not is_hash(password.get_secret_value()):
            check_password(password.get_secret_value())
        return password

    @field_validator("roles")
    @classmethod
    def _names(cls, roles: list[str]) -> list[str]:
        check_roles(roles)
        return roles


class SQLIdentitySettings(SQLSettings):
    """Keys of the identity `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    realm: str = Field(min_length=1, description="The realm of these users.")
    extra_users: list[ExtraUser] = Field(
        default_factory=list,
        alias="extra-users",
        description="Users to add at the start if they are missing.",
    )


class SQLIdentity(Identity):
    """A row a user."""

    Settings = SQLIdentitySettings

    def __init__(
        self,
        settings: SQLIdentitySettings,
        data: Path,
        *,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.realm = settings.realm
        self._extra = settings.extra_users
        self._database = CredentialDatabase(settings.url, data)
        self._passwords = passwords or Passwords()
        self._clock = clock

    async def open(self) -> None:
        await self._database.open(_SCHEMA)
        for user in self._extra:
            if self._row(user.uid) is None:
                password = user.password.get_secret_value()
                stored = password if is_hash(password) else await self._passwords.hash(password)
                await self._insert(user.uid, stored, user.roles)  # another process may be first

    async def close(self) -> None:
        await self._database.close()

    async def add_user(self, username: str, password: str, roles: Sequence[str]) -> None:
        check_username(username)
        check_password(password)
        check_roles(roles)
        if self._row(username) is None:  # saves the hash; the insertion decides
            stored = await self._passwords.hash(password)
            if await self._insert(username, stored, roles):
                return
        raise UserExistsError(f"there is a user {username!r} already")

    async def remove_user(self, username: str) -> None:
        await self._change(username, "DELETE FROM users WHERE", {})

    async def set_password(self, username: str, password: str) -> None:
        check_password(password)
        stored = await self._passwords.hash(password)
        await self._change(username, "UPDATE users SET password = :password WHERE", {"password": stored})

    async def set_roles(self, username: str, roles: Sequence[str]) -> None:
        check_roles(roles)
        await self._change(
            username, "UPDATE users SET roles = :roles WHERE", {"roles": json.dumps(list(roles))}
        )

    async def list_users(self) -> list[UserEntry]:
        sql = "SELECT username, roles, created FROM users WHERE realm = :realm ORDER BY username"
        return [
            {"username": row["username"], "roles": json.loads(row["roles"]), "created": row["created"]}
            for row in self._database.read(sql, {"realm": self.realm})
        ]

    async def roles_of(self, username: str) -> list[str] | None:
        row = self._row(username)
        return None if row is None else _roles(row)

    async def verify(self, username: str, password: str) -> list[str] | None:
        row = self._row(username)
        right = await self._passwords.verify(None if row is None else row["password"], password)
        if row is None or not right:
            return None
        if self._passwords.needs_rehash(row["password"]):
            await self._rehash(username, row["password"], password)
        return _roles(row)

    async def _rehash(self, username: str, old: str, password: str) -> None:
        try:
            parameters = self._named(username) | {"old": old, "new": await self._passwords.hash(password)}
            # Only in place of what was verified: a password set meanwhile stays.
            sql = f"UPDATE users SET password = :new WHERE password = :old AND {_ONE}"  # noqa: S608
            await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount)
        except AuthenticationUnavailableError:
            _log.warning("the hash of a password could not be renewed; the next log-in will try again")

    async def _insert(self, username: str, stored: str, roles: Sequence[str]) -> bool:
        parameters = self._named(username) | {
            "password": stored,
            "roles": json.dumps(list(roles)),
            "created": self._clock(),
        }
        sql = "INSERT OR IGNORE INTO users VALUES (:realm, :username, :password, :roles, :created)"
        return (
            await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount) == 1
        )

    async def _change(self, username: str, statement: str, parameters: dict[str, Any]) -> None:
        named = self._named(username) | parameters

        def change(connection: sqlite3.Connection) -> int:
            return connection.execute(f"{statement} {_ONE}", named).rowcount

        if _storable(username) and await self._database.write(change) == 1:
            return
        raise UnknownUserError(f"there is no user {username!r}")

    def _row(self, username: str) -> sqlite3.Row | None:
        if not _storable(username):
            return None
        rows = self._database.read(f"SELECT * FROM users WHERE {_ONE}", self._named(username))  # noqa: S608
        return rows[0] if rows else None

    def _named(self, username: str) -> dict[str, Any]:
        return {"realm": self.realm, "username": username}


def _roles(row: sqlite3.Row) -> list[str]:
    roles: list[str] = json.loads(row["roles"])
    return roles


def _storable(username: str) -> bool:
    """Whether SQLite takes it as a text at all."""
    return username.isascii() or username == username.encode(errors="replace").decode()
