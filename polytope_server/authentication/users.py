"""Users that an identity keeps: what the authenticators of all its back-ends have in common."""

from __future__ import annotations

from pathlib import Path

from polytope_server.accounts.users import Identity
from polytope_server.authentication import Authenticator, AuthenticatorSettings, basic
from polytope_server.user import User


class UsersAuthenticator(Authenticator):
    """Basic credentials of the users that the identity keeps for this realm."""

    scheme = "Basic"
    hint = "User name and password"

    def __init__(self, realm: str, settings: AuthenticatorSettings, data: Path, identity: Identity) -> None:
        super().__init__(realm, settings, data)
        self._identity = identity

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None or await self._identity.verify(*decoded) is None:
            return None
        # The roles come from the authorizer of the same type: an API key of the user then has them, too.
        return User(decoded[0], self.realm)

    async def knows(self, username: str) -> bool:
        return await self._identity.roles_of(username) is not None
