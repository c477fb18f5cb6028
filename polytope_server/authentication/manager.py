"""Finds out who makes a call: all schemes, all realms, and a memory of who was verified.

A credential that was verified is remembered, by keyed hash, for `authentication.cache` seconds: so long at
most a removed user, a revoked key or a role that was taken away still counts; credentials that end by
themselves are not remembered after that. The process that removes something calls
:meth:`Authentication.forget_user` and forgets at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachetools import TLRUCache, TTLCache

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator, header
from polytope_server.authentication.configuration import authenticators, authorizers, cache_seconds
from polytope_server.authentication.deployment_key import deployment_key
from polytope_server.authentication.throttle import Attempt, Throttle, name_of, network_of
from polytope_server.authentication.turns import Asker, asking
from polytope_server.authorization import Authorizer
from polytope_server.caching import JSON, Cache
from polytope_server.config import Settings
from polytope_server.user import User

_UNREADABLE = "Could not read authorization header, expected 'Authorization: <type> <credentials>'"
_TOO_LONG = f"The Authorization header has more than {header.MAX_LENGTH} characters"
_NOT_CONFIGURED = "No authentication is configured on this server, so nobody can be let in"
_WRONG = "Invalid credentials"
#: A client that repeats wrong credentials costs nothing for so long; a user just added waits no longer.
_REFUSED_SECONDS = 1.0
_REMEMBERED = 10_000
#: Attributes with such names are needed by nobody here, and are not remembered.
_SECRET_NAMES = re.compile("key|secret|token|password", re.IGNORECASE)


class UnauthenticatedError(Exception):
    """The credentials are missing or wrong; with the values of WWW-Authenticate.

    `retry_after` is None, or the seconds for which no more guesses should be made: there were too many.
    """

    def __init__(self, message: str, challenges: list[str], retry_after: int | None = None) -> None:
        super().__init__(message)
        self.challenges = challenges
        self.retry_after = retry_after


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
        self, settings: Settings, data: Path, cache: Cache, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`data` is the folder of embedded back-ends; `cache` may be shared by several processes.

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
        self._deployment_key = b""
        # PERF: in front of the cache, by the whole header: every poll comes through here.
        self._process_key = secrets.token_bytes(32)
        self._known: TLRUCache[bytes, _Known] = TLRUCache(
            _REMEMBERED, ttu=lambda key, known, now: known.until, timer=clock
        )
        self._throttle = Throttle(cache, self._digest, clock)
        self._refused: TTLCache[bytes, UnauthenticatedError] = TTLCache(
            _REMEMBERED, _REFUSED_SECONDS, timer=clock
        )
        #: When users were forgotten, by name and realm: what the cache, or a verification on its way, knows
        #: from before counts no more.
        self._forgotten: TTLCache[tuple[str, str], float] = TTLCache(_REMEMBERED, self._seconds, timer=clock)
        self._opened = AsyncExitStack()

    async def open(self) -> None:
        """Connect everything. Raises ValueError or OSError if the deployment's key cannot be had."""
        self._deployment_key = await asyncio.to_thread(deployment_key, self._data)
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

    async def authenticate(
        self, authorization: str | None, address: str = "", *, anew: bool = False
    ) -> Identification:
        """Who makes a call with this Authorization header (None: without one) from this address.

        `anew` is for what outlives the memory, such as a new API key: nobody is who was verified before only.
        Raises :class:`UnauthenticatedError` if the credentials are missing or wrong, and
        :class:`AuthenticationUnavailableError` if none is right and some cannot be checked now.
        """
        authorization = authorization or ""
        if len(authorization) > header.MAX_LENGTH:
            raise self._refusal(_TOO_LONG)
        key = hashlib.blake2b(
            authorization.encode("utf-8", "surrogatepass"), key=self._process_key, digest_size=32
        ).digest()
        if anew:
            self._known.pop(key, None)
        known = self._known.get(key)
        if known is not None:
            return known.identification
        refused = self._refused.get(key)
        if refused is not None:
            raise UnauthenticatedError(str(refused), refused.challenges, refused.retry_after)
        credentials = header.split(authorization) if authorization.strip() else [header.Credential("", "")]
        network = network_of(address)
        known = await self._first(credentials, network, anew)
        if known is None:
            message = self._reason(credentials)
            if message != _WRONG:
                raise self._refusal(message)
            refused = await self._too_many(credentials, network) or self._refusal(message)
            self._refused[key] = refused
            raise refused
        self._known[key] = known
        return known.identification

    async def forget_user(self, username: str, realm: str) -> None:
        """Forget what this process remembers of a user, to be called when something of theirs was revoked.

        It also forgets who was refused, so that a user just added is let in at once.
        """
        self._refused.clear()
        self._forgotten[username, realm] = self._clock()
        for key, known in list(self._known.items()):
            user = known.identification.user
            if (user.username, user.realm) == (username, realm):
                self._known.pop(key, None)
                await self._cache.delete(known.cache_key)

    def _refusal(self, message: str) -> UnauthenticatedError:
        return UnauthenticatedError(message, self.challenges)

    async def _too_many(
        self, credentials: list[header.Credential], network: str
    ) -> UnauthenticatedError | None:
        """The refusal of wrong credentials if there were too many lately."""
        attempts = [self._attempt(scheme.lower(), word, network) for scheme, word in credentials]
        seconds = max(await asyncio.gather(*map(self._throttle.wait, attempts)))
        if not seconds:
            return None
        message = f"{_WRONG}, too many times. Try again in {seconds} seconds."
        return UnauthenticatedError(message, self.challenges, seconds)

    def _attempt(self, scheme: str, word: str, network: str) -> Attempt:
        return Attempt(self._digest(f"{scheme}\0{word}"), network, name_of(scheme, word))

    def _digest(self, text: str) -> str:
        return hmac.new(self._deployment_key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def _reason(self, credentials: list[header.Credential]) -> str:
        if not self._methods:
            return _NOT_CONFIGURED
        schemes = [credential.scheme for credential in credentials]
        if any(scheme and scheme.lower() in self._methods for scheme in schemes):
            return _WRONG
        # polytope-client 0.7 fails on a message that holds the word `expired`, so it is not repeated.
        shown = next((scheme for scheme in schemes if scheme and "expired" not in scheme.lower()), None)
        return f'No authentication providers for authentication type "{shown}"' if shown else _UNREADABLE

    async def _first(self, credentials: list[header.Credential], network: str, anew: bool) -> _Known | None:
        """What the first of the credentials that is right says."""
        unavailable: AuthenticationUnavailableError | None = None
        for scheme, word in dict.fromkeys(credentials):
            try:
                known = await self._verified(scheme.lower(), word, network, anew)
            except AuthenticationUnavailableError as error:
                unavailable = error
                continue
            if known is not None:
                return known
        if unavailable is not None:
            raise unavailable
        return None

    async def _verified(self, scheme: str, word: str, network: str, anew: bool) -> _Known | None:
        """Who a credential belongs to, from the cache if somebody verified it lately, unless `anew`."""
        if scheme not in self._methods:
            return None
        if not self._deployment_key:
            raise AuthenticationUnavailableError("the authentication is not open yet")
        attempt = self._attempt(scheme, word, network)
        cache_key = f"authentication:{attempt.digest}"

        async def make() -> JSON:
            since = self._clock()
            user = await self._checked(scheme, word, attempt)
            return None if user is None else _document(user, since, self._clock() + self._seconds)

        if self._seconds > 0:
            earliest = self._clock() if anew else -math.inf
            document: Any = await self._cache.get_or_make(cache_key, self._seconds, make)
            if document is not None and self._has_ended(document, earliest):
                await self._cache.delete(cache_key)
                document = await self._cache.get_or_make(cache_key, self._seconds, make)
        else:
            document = await make()
        if document is None:
            return None
        user = User(document["username"], document["realm"], tuple(document["roles"]), document["attributes"])
        # Not beyond the time that was set when it was verified, maybe by another process.
        until = min(document["until"], self._clock() + self._seconds)
        return _Known(Identification(user, self._methods[scheme][0].scheme), until, cache_key)

    async def _checked(self, scheme: str, word: str, attempt: Attempt) -> User | None:
        """The user of a credential, found out when it is its turn."""
        if not scheme:  # there is nothing to guess
            return await self._identify(scheme, word)
        with asking(await self._throttle.asker(attempt)):
            user = await self._identify(scheme, word)
        await (self._throttle.failed(attempt) if user is None else self._throttle.succeeded(attempt))
        return user

    def _has_ended(self, document: dict[str, Any], earliest: float) -> bool:
        """Whether the credentials were verified by `earliest`, ended, or belong to a user who was
        forgotten, before the cache forgot who it was.
        """
        forgotten = self._forgotten.get((document["username"], document["realm"]), -math.inf)
        since = document["since"]
        return bool(document["until"] <= self._clock() or since <= max(forgotten, earliest))

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
        # Whoever has shown right credentials is no suspect any more.
        with asking(Asker()):
            for authorizer in self._authorizers.get(user.realm, ()):
                user = user.with_roles(*await authorizer.roles(user))
        return user


def _document(user: User, since: float, until: float) -> dict[str, JSON]:
    """What the cache keeps of a user whose verification began at `since`; it counts `until` then at most."""
    attributes = {name: value for name, value in user.attributes.items() if not _SECRET_NAMES.search(name)}
    return {
        "username": user.username,
        "realm": user.realm,
        "roles": list(user.roles),
        "attributes": dict(attributes),
        "since": since,
        "until": min(until, user.until),
    }
