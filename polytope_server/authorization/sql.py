"""Roles that the identity of type `sql` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authorization import AuthorizerSettings
from polytope_server.authorization.users import UsersAuthorizer
from polytope_server.drivers.sql.address import DatabaseURL


class SQLAuthorizerSettings(AuthorizerSettings):
    """Keys of the authorizer `sql`."""

    url: DatabaseURL | None = Field(None, repr=False, description="The same as that of the identity.")


class SQLAuthorizer(UsersAuthorizer):
    """The roles with which a user was added to the identity."""

    Settings: ClassVar[type[AuthorizerSettings]] = SQLAuthorizerSettings

    def __init__(self, realm: str, settings: SQLAuthorizerSettings, data: Path) -> None:
        identity = SQLIdentity(SQLIdentitySettings(url=settings.url, realm=realm), data)
        super().__init__(realm, settings, data, identity)
