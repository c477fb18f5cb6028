"""All ways to log in to a deployment: authenticators by scheme, and authorizers by realm."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from polytope_server.accounts.fair_queue import Flow, in_flow
from polytope_server.authentication import AuthenticationUnavailableError, Authenticator, header
from polytope_server.authorization import Authorizer, NoSuchUserError
from polytope_server.user import User

logger = logging.getLogger(__name__)


class Methods:
    """Authenticators, in the order in which they are asked, and authorizers by realm."""

    def __init__(
        self, authenticators: Sequence[Authenticator], authorizers: Mapping[str, Sequence[Authorizer]]
    ) -> None:
        self.authenticators = authenticators
        self.authorizers = authorizers
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
            if user is not None and (found := await self._add_roles(user, authenticator)) is not None:
                return found
        if unavailable is not None:
            raise unavailable
        return None

    async def _add_roles(self, user: User, authenticator: Authenticator) -> User | None:
        """The user with all roles; None if the credentials have outlived the user."""
        user, unknown_to = user.with_roles(("default",)), []
        # The credentials were right, so what is asked now does not wait behind guesses.
        with in_flow(Flow()):
            for authorizer in self.authorizers.get(user.realm, ()):
                try:
                    user = user.with_roles(*await authorizer.roles(user))
                except NoSuchUserError:
                    unknown_to.append(authorizer)
            if authenticator.outlives_users and await self._is_gone(user, unknown_to):
                logger.info(
                    "a key of %r is refused: the realm %r has no such user", user.username, user.realm
                )
                return None
        return user

    async def _is_gone(self, user: User, unknown_to: list[Authorizer]) -> bool:
        """Whether there is no such user (any more), as far as can be known without the user's credentials.

        `unknown_to` are the authorizers of the realm that say so. Raises AuthenticationUnavailableError if it
        depends on an authenticator that could not be asked.
        """
        asked = [
            authenticator
            for authenticator in self.authenticators
            if authenticator.users == "any"
            or (authenticator.users == "realm" and authenticator.realm == user.realm)
        ]
        answers: list[bool | None] = []
        unavailable: AuthenticationUnavailableError | None = None
        for authenticator in asked:
            try:
                answers.append(await authenticator.knows(user.username))
            except AuthenticationUnavailableError as error:
                unavailable = error
        if True in answers:
            return False
        if unavailable is not None:
            raise unavailable
        if any(authorizer.knows_all_users for authorizer in unknown_to):
            return True
        return None not in answers and bool(answers or unknown_to)
