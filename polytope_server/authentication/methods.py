"""All ways to log in to a deployment: authenticators by scheme, and authorizers by realm."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator, header
from polytope_server.authentication.configuration import authenticators, authorizers
from polytope_server.authentication.turns import Asker, asking
from polytope_server.authorization import Authorizer
from polytope_server.config import Settings
from polytope_server.user import User


class Methods:
    """What the configuration names, opened and closed together."""

    def __init__(self, settings: Settings, data: Path) -> None:
        """Raises :class:`~polytope_server.config.ConfigurationError`."""
        self.authenticators = authenticators(settings, data)
        self.authorizers = authorizers(settings, data)
        #: By the scheme in small letters, in the order in which they are asked.
        self.by_scheme: dict[str, list[Authenticator]] = {}
        for authenticator in self.authenticators:
            self.by_scheme.setdefault(authenticator.scheme.lower(), []).append(authenticator)
        self._opened = AsyncExitStack()

    def challenges(self) -> list[str]:
        """The values of WWW-Authenticate: one of each scheme."""
        return [
            header.challenge(first.scheme, first.realm, first.hint)
            for scheme, (first, *_) in self.by_scheme.items()
            if scheme
        ]

    async def open(self) -> None:
        """Connect everything."""
        parts: list[Authenticator | Authorizer] = [*self.authenticators]
        parts += [part for parts_of_realm in self.authorizers.values() for part in parts_of_realm]
        async with AsyncExitStack() as stack:
            for part in parts:
                await part.open()
                stack.push_async_callback(part.close)
            self._opened = stack.pop_all()

    async def close(self) -> None:
        """Disconnect everything."""
        await self._opened.aclose()

    async def identify(self, scheme: str, word: str) -> User | None:
        """The user of a credential with all roles; asks all authenticators of the scheme in order.

        Raises AuthenticationUnavailableError if it is not right for any, and one could not be asked.
        """
        unavailable: AuthenticationUnavailableError | None = None
        for authenticator in self.by_scheme[scheme]:
            try:
                user = await authenticator.authenticate(word)
            except AuthenticationUnavailableError as error:
                unavailable = error
                continue
            if user is not None:
                return await self._authorized(user)
        if unavailable is not None:
            raise unavailable
        return None

    async def _authorized(self, user: User) -> User:
        user = user.with_roles(("default",))
        # Whoever has shown right credentials is no suspect any more.
        with asking(Asker()):
            for authorizer in self.authorizers.get(user.realm, ()):
                user = user.with_roles(*await authorizer.roles(user))
        return user
