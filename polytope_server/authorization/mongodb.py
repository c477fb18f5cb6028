"""Roles that the identity of type `mongodb` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polytope_server.authorization import Authorizer, AuthorizerSettings
from polytope_server.identity.mongodb import MongoDBIdentity, MongoDBUsersSettings
from polytope_server.user import User


class MongoDBAuthorizerSettings(AuthorizerSettings, MongoDBUsersSettings):
    """Keys of the authorizer `mongodb`: the same as those of the identity."""


class MongoDBAuthorizer(Authorizer):
    """The roles with which a user was added to the identity."""

    Settings: ClassVar[type[AuthorizerSettings]] = MongoDBAuthorizerSettings

    def __init__(self, realm: str, settings: MongoDBAuthorizerSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._identity = MongoDBIdentity.of_realm(realm, settings, data)

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        return await self._identity.roles_of(user.username) or [], {}
