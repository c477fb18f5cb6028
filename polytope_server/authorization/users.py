"""Roles that an identity keeps: what the authorizers of all its back-ends have in common."""

from __future__ import annotations

from pathlib import Path

from polytope_server.accounts.users import Identity
from polytope_server.authorization import Authorizer, AuthorizerSettings, NoSuchUserError
from polytope_server.user import User


class UsersAuthorizer(Authorizer):
    """The roles with which a user was added to the identity."""

    def __init__(self, realm: str, settings: AuthorizerSettings, data: Path, identity: Identity) -> None:
        super().__init__(realm, settings, data)
        self._identity = identity

    async def open(self) -> None:
        await self._identity.open()

    async def close(self) -> None:
        await self._identity.close()

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        roles = await self._identity.roles_of(user.username)
        if roles is None:
            raise NoSuchUserError(user.username)
        return roles, {}
