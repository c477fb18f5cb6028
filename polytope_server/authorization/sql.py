"""Roles that the identity of type `sql` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.authorization import Authorizer, AuthorizerSettings
from polytope_server.identity.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.sql import DatabaseURL
from polytope_server.user import User


class SQLAuthorizerSettings(AuthorizerSettings):
    """Keys of the authorizer `sql`."""

    url: DatabaseURL | None = Field(None, repr=False, description="The same as that of the identity.")


class SQLAuthorizer(Authorizer):
    """The roles with which a user was added to the identity."""

    Settings: ClassVar[type[AuthorizerSettings]] = SQLAuthorizerSettings

    def __init__(self, realm: str, settings: SQLAuthorizerSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._identity = SQLIdentity(SQLIdentitySettings(url=settings.url, realm=realm), data)

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        return await self._identity.roles_of(user.username) or [], {}
