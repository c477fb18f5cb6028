"""Users in SQLite or PostgreSQL."""

# ruff: noqa: S608 -- statements are put together from names of this module; values are parameters

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.sql_database import CredentialDatabase
from polytope_server.accounts.users.stored import ExtraUser, StoredIdentity, StoredUser
from polytope_server.drivers.sql import Row, Schema
from polytope_server.drivers.sql.address import SQLSettings

_SCHEMA = Schema(
    "users",
    1,
    """
CREATE TABLE IF NOT EXISTS users (
    realm {text} NOT NULL, username {text} NOT NULL, password {text} NOT NULL, roles {text} NOT NULL,
    created {real} NOT NULL, PRIMARY KEY (realm, username)
) {by_key}
""",
)
_COLUMNS = "username, password, roles, created"
_ONE = "realm = :realm AND username = :username"


class SQLIdentitySettings(SQLSettings):
    """Keys of the identity `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    realm: str = Field(min_length=1, description="The realm of these users.")
    extra_users: list[ExtraUser] = Field(
        default_factory=list,
        alias="extra-users",
        description="Users to add at the start if they are missing.",
    )


class SQLIdentity(StoredIdentity):
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
        super().__init__(settings.realm, settings.extra_users, passwords, clock)
        self._database = CredentialDatabase(settings.url, data)

    async def open(self) -> None:
        await self._database.open(_SCHEMA)
        try:
            await self.add_extra_users()
        except BaseException:
            await self._database.close()
            raise

    async def close(self) -> None:
        await self.end_renewals()
        await self._database.close()

    async def find(self, username: str) -> StoredUser | None:
        sql = f"SELECT {_COLUMNS} FROM users WHERE {_ONE}"
        rows = await self._database.read(sql, self._name_parameters(username))
        return _user_of_row(rows[0]) if rows else None

    async def find_page(self, after: str, limit: int) -> list[StoredUser]:
        sql = (
            f"SELECT {_COLUMNS} FROM users WHERE realm = :realm AND username > :username "
            "ORDER BY username LIMIT :limit"
        )
        return [
            _user_of_row(row)
            for row in await self._database.read(sql, self._name_parameters(after) | {"limit": limit})
        ]

    async def insert(self, user: StoredUser) -> bool:
        parameters = self._name_parameters(user.username) | {
            "password": user.password,
            "roles": json.dumps(user.roles),
            "created": user.created,
        }
        sql = (
            f"INSERT INTO users (realm, {_COLUMNS}) "
            "VALUES (:realm, :username, :password, :roles, :created) ON CONFLICT DO NOTHING"
        )
        return (await self._database.write(sql, parameters)).changed == 1

    async def replace_password(self, username: str, new: str, old: str | None = None) -> bool:
        sql, parameters = f"UPDATE users SET password = :new WHERE {_ONE}", {"new": new}
        if old is not None:
            sql, parameters = f"{sql} AND password = :old", parameters | {"old": old}
        return await self._change_row(username, sql, parameters)

    async def replace_roles(self, username: str, roles: Sequence[str]) -> bool:
        sql = f"UPDATE users SET roles = :roles WHERE {_ONE}"
        return await self._change_row(username, sql, {"roles": json.dumps(list(roles))})

    async def delete(self, username: str) -> bool:
        return await self._change_row(username, f"DELETE FROM users WHERE {_ONE}", {})

    async def _change_row(self, username: str, sql: str, parameters: dict[str, Any]) -> bool:
        return (await self._database.write(sql, self._name_parameters(username) | parameters)).changed == 1

    def _name_parameters(self, username: str) -> dict[str, Any]:
        return {"realm": self.realm, "username": username}


def _user_of_row(row: Row) -> StoredUser:
    username, password, roles, created = row
    return StoredUser(username, password, tuple(json.loads(roles)), created)
