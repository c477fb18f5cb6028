"""Users that the identity of type `mongodb` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polytope_server.authentication import Authenticator, AuthenticatorSettings, basic
from polytope_server.identity.mongodb import MongoDBIdentity, MongoDBUsersSettings
from polytope_server.user import User


class MongoDBAuthenticatorSettings(AuthenticatorSettings, MongoDBUsersSettings):
    """Keys of the authenticator `mongodb`: the same as those of the identity."""


class MongoDBAuthenticator(Authenticator):
    """Basic credentials of the users that the identity keeps for this realm."""

    Settings: ClassVar[type[AuthenticatorSettings]] = MongoDBAuthenticatorSettings
    scheme = "Basic"
    hint = "User name and password"

    def __init__(self, realm: str, settings: MongoDBAuthenticatorSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._identity = MongoDBIdentity.of_realm(realm, settings, data)

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None or await self._identity.verify(*decoded) is None:
            return None
        # The roles come from the authorizer `mongodb`, so that an API key of the same user has them, too.
        return User(decoded[0], self.realm)
