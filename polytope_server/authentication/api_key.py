"""API keys as credentials."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from polytope_server.accounts.api_keys import APIKeys
from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.user import User


class APIKeyAuthenticator(Authenticator):
    """`Bearer <API key>`: the user who made the key, whatever the realm.

    The roles, and whether there still is such a user, are looked up at each verification.
    """

    scheme = "Bearer"
    hint = "API key"
    users: ClassVar[Literal["realm", "any", "none"]] = "none"
    outlives_users: ClassVar[bool] = True

    def __init__(self, realm: str, settings: AuthenticatorSettings | None, data: Path, keys: APIKeys) -> None:
        super().__init__(realm, settings, data)
        self._keys = keys

    async def open(self) -> None:
        await self._keys.open()

    async def close(self) -> None:
        await self._keys.close()

    async def authenticate(self, credentials: str) -> User | None:
        return await self._keys.verify(credentials)
