"""Finds out who makes a call: all schemes, all realms, and a memory of who was verified.

A credential that was verified is remembered, by keyed hash, for `authentication.cache` seconds: so long at
most a removed user, a revoked key or a role that was taken away still counts; credentials that end by
themselves are not remembered after that. The process that removes something calls
:meth:`Authentication.forget_user` and forgets at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachetools import TLRUCache, TTLCache

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator, header
from polytope_server.authentication.configuration import authenticators, authorizers, cache_seconds
from polytope_server.authentication.remembered import Remembered
from polytope_server.authorization import Authorizer
from polytope_server.caching import JSON, Cache
from polytope_server.config import Settings
from polytope_server.deployment_key import DeploymentKeys
from polytope_server.redaction import present
from polytope_server.user import User

_UNREADABLE = "Could not read authorization header, expected 'Authorization: <type> <credentials>'"
_TOO_LONG = f"The Authorization header has more than {header.MAX_LENGTH} characters"
_NOT_CONFIGURED = "No authentication is configured on this server, so nobody can be let in"
_WRONG = "Invalid credentials"
#: A client that repeats wrong credentials costs nothing for so long; a user just added waits no longer.
_REFUSED_SECONDS = 1.0
_REMEMBERED = 10_000


class UnauthenticatedError(Exception):
    """The credentials are missing or wrong; with the values of WWW-Authenticate."""

    def __init__(self, message: str, challenges: list[str]) -> None:
        super().__init__(message)
        self.challenges = challenges


@dataclass(frozen=True, slots=True)
class Identification:
    """Who calls, and by which scheme (empty for a call without credentials)."""

    user: User
    scheme: str


@dataclass(frozen=True, slots=True)
class _Known:
    identification: Identification
    until: float
    cache_key: str


class Authentication:
    """Authenticators, federation, API keys and authorizers of the configuration, behind one call."""

    def __init__(
        self,
        settings: Settings,
        data: Path,
        cache: Cache,
        needed: Collection[str] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`data` is the folder of embedded back-ends; `cache` may be shared by several processes.

        `needed` are the attributes of users that some data source needs, though they are secrets.

        Raises :class:`~polytope_server.config.ConfigurationError`.
        """
        self._seconds = cache_seconds(settings)
        self._data = data
        self._cache = cache
        self._clock = clock
        self._authenticators = authenticators(settings, data)
        self._authorizers = authorizers(settings, data)
        self._methods: dict[str, list[Authenticator]] = {}
        for authenticator in self._authenticators:
            self._methods.setdefault(authenticator.scheme.lower(), []).append(authenticator)
        #: One of each scheme, for WWW-Authenticate.
        self.challenges = [
            header.challenge(first.scheme, first.realm, first.hint)
            for scheme, (first, *_) in self._methods.items()
            if scheme
        ]
        self._secrets = settings.secrets
        self._needed = frozenset(needed)
        self._remembered: Remembered | None = None
        # PERF: in front of the cache, by the whole header: every poll comes through here.
        self._process_key = secrets.token_bytes(32)
        self._known: TLRUCache[bytes, _Known] = TLRUCache(
            _REMEMBERED, ttu=lambda key, known, now: known.until, timer=clock
        )
        self._refused: TTLCache[bytes, bool] = TTLCache(_REMEMBERED, _REFUSED_SECONDS, timer=clock)
        self._opened = AsyncExitStack()

    async def open(self) -> None:
        """Connect everything. Raises ValueError or OSError if the deployment's key cannot be had."""
        keys = await asyncio.to_thread(DeploymentKeys, self._secrets, self._data)
        self._remembered = Remembered(keys, self._needed)
        parts: list[Authenticator | Authorizer] = [*self._authenticators]
        parts += [part for parts_of_realm in self._authorizers.values() for part in parts_of_realm]
        async with AsyncExitStack() as stack:
            for part in parts:
                await part.open()
                stack.push_async_callback(part.close)
            self._opened = stack.pop_all()

    async def close(self) -> None:
        """Disconnect everything and forget who was verified."""
        self._known.clear()
        self._refused.clear()
        await self._opened.aclose()

    async def authenticate(self, authorization: str | None) -> Identification:
        """Who makes a call with this Authorization header (None: without one).

        Raises :class:`UnauthenticatedError` if the credentials are missing or wrong, and
        :class:`AuthenticationUnavailableError` if none is right and some cannot be checked now.
        """
        authorization = authorization or ""
        if len(authorization) > header.MAX_LENGTH:
            raise self._refusal(_TOO_LONG)
        key = hashlib.blake2b(
            authorization.encode("utf-8", "surrogatepass"), key=self._process_key, digest_size=32
        ).digest()
        known = self._known.get(key)
        if known is not None:
            return known.identification
        if key in self._refused:
            raise self._refusal(_WRONG)
        credentials = header.split(authorization) if authorization.strip() else [header.Credential("", "")]
        present([authorization, *(secret for one in credentials for secret in one.secrets())])
        known = await self._first(credentials)
        if known is None:
            message = self._reason(credentials)
            if message == _WRONG:
                self._refused[key] = True
            raise self._refusal(message)
        self._known[key] = known
        return known.identification

    async def forget_user(self, username: str, realm: str) -> None:
        """Forget what this process remembers of a user, to be called when something of theirs was revoked.

        It also forgets who was refused, so that a user just added is let in at once.
        """
        self._refused.clear()
        for key, known in list(self._known.items()):
            user = known.identification.user
            if (user.username, user.realm) == (username, realm):
                self._known.pop(key, None)
                await self._cache.delete(known.cache_key)

    def _refusal(self, message: str) -> UnauthenticatedError:
        return UnauthenticatedError(message, self.challenges)

    def _reason(self, credentials: list[header.Credential]) -> str:
        if not self._methods:
            return _NOT_CONFIGURED
        schemes = [credential.scheme for credential in credentials]
        if any(scheme and scheme.lower() in self._methods for scheme in schemes):
            return _WRONG
        # polytope-client 0.7 fails on a message that holds the word `expired`, so it is not repeated.
        shown = next((scheme for scheme in schemes if scheme and "expired" not in scheme.lower()), None)
        return f'No authentication providers for authentication type "{shown}"' if shown else _UNREADABLE

    async def _first(self, credentials: list[header.Credential]) -> _Known | None:
        """What the first of the credentials that is right says."""
        unavailable: AuthenticationUnavailableError | None = None
        for scheme, word in dict.fromkeys(credentials):
            try:
                known = await self._verified(scheme.lower(), word)
            except AuthenticationUnavailableError as error:
                unavailable = error
                continue
            if known is not None:
                return known
        if unavailable is not None:
            raise unavailable
        return None

    async def _verified(self, scheme: str, word: str) -> _Known | None:
        """Who a credential belongs to, from the cache if somebody verified it lately."""
        if scheme not in self._methods:
            return None
        remembered = self._remembered
        if remembered is None:
            raise AuthenticationUnavailableError("the authentication is not open yet")
        cache_key = remembered.key(scheme, word)

        async def make() -> JSON:
            user = await self._identify(scheme, word)
            if user is None:
                return None
            return remembered.document(cache_key, user, min(self._clock() + self._seconds, user.until))

        if self._seconds > 0:
            document: Any = await self._cache.get_or_make(cache_key, self._seconds, make)
            if document is not None and (
                document["until"] <= self._clock() or remembered.user(cache_key, document) is None
            ):
                # The credentials ended before the cache forgets who showed them, or others wrote there.
                await self._cache.delete(cache_key)
                document = await self._cache.get_or_make(cache_key, self._seconds, make)
        else:
            document = await make()
        user = None if document is None else remembered.user(cache_key, document)
        if user is None:
            return None
        # Not beyond the time that was set when it was verified, maybe by another process.
        until = min(document["until"], self._clock() + self._seconds)
        return _Known(Identification(user, self._methods[scheme][0].scheme), until, cache_key)

    async def _identify(self, scheme: str, word: str) -> User | None:
        """The user of a credential with all roles; asks all authenticators of the scheme in order."""
        unavailable: AuthenticationUnavailableError | None = None
        for authenticator in self._methods[scheme]:
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
        for authorizer in self._authorizers.get(user.realm, ()):
            user = user.with_roles(*await authorizer.roles(user))
        return user
