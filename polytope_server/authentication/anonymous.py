"""Calls without credentials."""

from __future__ import annotations

from polytope_server.authentication import Authenticator
from polytope_server.user import User

_NAME = "anonymous"


class AnonymousAuthenticator(Authenticator):
    """Makes a call without credentials the user `anonymous`; a wrong credential stays wrong."""

    scheme = ""

    async def authenticate(self, credentials: str) -> User | None:
        return None if credentials else User(_NAME, self.realm)

    async def knows(self, username: str) -> bool:
        return username == _NAME
