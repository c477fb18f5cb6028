"""Users that the identity of type `sql` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.authentication import Authenticator, AuthenticatorSettings, basic
from polytope_server.identity.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.sql import DatabaseURL
from polytope_server.user import User


class SQLAuthenticatorSettings(AuthenticatorSettings):
    """Keys of the authenticator `sql`."""

    url: DatabaseURL | None = Field(None, repr=False, description="The same as that of the identity.")


class SQLAuthenticator(Authenticator):
    """Basic credentials of the users that the identity keeps for this realm."""

    Settings: ClassVar[type[AuthenticatorSettings]] = SQLAuthenticatorSettings
    scheme = "Basic"
    hint = "User name and password"

    def __init__(self, realm: str, settings: SQLAuthenticatorSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._identity = SQLIdentity(SQLIdentitySettings(url=settings.url, realm=realm), data)

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None or await self._identity.verify(*decoded) is None:
            return None
        # The roles come from the authorizer `sql`, so that an API key of the same user has them, too.
        return User(decoded[0], self.realm)
