"""Roles that the identity of type `mongodb` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polytope_server.accounts.users.mongodb import MongoDBIdentity, MongoDBUsersSettings
from polytope_server.authorization import AuthorizerSettings
from polytope_server.authorization.users import UsersAuthorizer


class MongoDBAuthorizerSettings(AuthorizerSettings, MongoDBUsersSettings):
    """Keys of the authorizer `mongodb`: the same as those of the identity."""


class MongoDBAuthorizer(UsersAuthorizer):
    """The roles with which a user was added to the identity."""

    Settings: ClassVar[type[AuthorizerSettings]] = MongoDBAuthorizerSettings

    def __init__(self, realm: str, settings: MongoDBAuthorizerSettings, data: Path) -> None:
        super().__init__(realm, settings, data, MongoDBIdentity.of_realm(realm, settings, data))
