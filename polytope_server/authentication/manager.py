"""Finds out who makes a call: all schemes, all realms, and a memory of who was verified.

A credential that was verified is remembered, by keyed hash, for `authentication.cache` seconds: so long at
most a removed user, a revoked key or a role that was taken away still counts; credentials that end by
themselves are not remembered after that. The process that removes something calls
:meth:`Authentication.forget_user` and forgets at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cachetools import TLRUCache, TTLCache

from polytope_server.authentication import AuthenticationUnavailableError, header
from polytope_server.authentication.configuration import cache_seconds
from polytope_server.authentication.federation import Federation
from polytope_server.authentication.methods import Methods
from polytope_server.authentication.remembered import Memory, Remembered
from polytope_server.authentication.throttle import Attempt, Throttle, name_of
from polytope_server.caching import JSON, Cache
from polytope_server.redaction import present
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.settings import Settings
from polytope_server.settings.networks import network_of
from polytope_server.user import User

_UNREADABLE = "Could not read authorization header, expected 'Authorization: <type> <credentials>'"
_TOO_LONG = f"The Authorization header has more than {header.MAX_LENGTH} characters"
_NOT_CONFIGURED = "No authentication is configured on this server, so nobody can be let in"
_WRONG = "Invalid credentials"
#: A client that repeats wrong credentials costs nothing for so long; a user just added waits no longer.
_REFUSED_SECONDS = 1.0
_REMEMBERED = 10_000


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

    @property
    def by_peer(self) -> bool:
        """Whether another server acts for the user (`federation`)."""
        return self.scheme.lower() == Federation.scheme.lower()


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
        self._methods = Methods(settings, data)
        self.challenges = self._methods.challenges()
        self._secrets = settings.secrets
        self._needed = frozenset(needed)
        self._remembered: Remembered | None = None
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

    async def open(self) -> None:
        """Connect everything. Raises ValueError or OSError if the deployment's key cannot be had."""
        keys = await asyncio.to_thread(DeploymentKeys, self._secrets, self._data)
        self._remembered = Remembered(keys, self._needed)
        await self._methods.open()

    async def close(self) -> None:
        """Disconnect everything and forget who was verified."""
        self._known.clear()
        self._refused.clear()
        await self._methods.close()

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
        present([authorization, *(secret for one in credentials for secret in one.secrets())])
        network = network_of(address)
        known = await self._first(credentials, network, anew)
        if known is None:
            message = self._reason(credentials)
            if message != _WRONG:
                raise self._refusal(message)
            attempts = [self._attempt(scheme.lower(), word, network) for scheme, word in credentials]
            refused = await self._too_many(attempts) or self._refusal(message)
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

    async def _too_many(self, attempts: Iterable[Attempt]) -> UnauthenticatedError | None:
        """The refusal of wrong credentials if there were too many lately."""
        seconds = max(await asyncio.gather(*map(self._throttle.wait, attempts)))
        if not seconds:
            return None
        message = f"{_WRONG}, too many times. Try again in {seconds} seconds."
        return UnauthenticatedError(message, self.challenges, seconds)

    async def prove(
        self, user: User, password: str, address: str, check: Callable[[], Awaitable[bool]]
    ) -> bool:
        """What `check` says of the password that somebody shows for a user, besides the header of the call.

        It takes its turn as a log-in does, and a wrong one counts as a failure. Raises
        :class:`UnauthenticatedError` if it is wrong, as were too many.
        """
        digest = self._digest("password", user.realm, user.username, password)
        attempt = Attempt(digest, network_of(address), user.username)
        right = bool(await self._throttle.guarded(attempt, check))
        if not right and (refusal := await self._too_many([attempt])):
            raise refusal
        return right

    def _attempt(self, scheme: str, word: str, network: str) -> Attempt:
        return Attempt(self._digest("credentials", scheme, word), network, name_of(scheme, word))

    def _digest(self, *parts: str) -> str:
        return self._open_memory().digest(*parts)

    def _open_memory(self) -> Remembered:
        if self._remembered is None:
            raise AuthenticationUnavailableError("the authentication is not open yet")
        return self._remembered

    def _reason(self, credentials: list[header.Credential]) -> str:
        if not self._methods.by_scheme:
            return _NOT_CONFIGURED
        schemes = [credential.scheme for credential in credentials]
        if any(scheme and scheme.lower() in self._methods.by_scheme for scheme in schemes):
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
        if scheme not in self._methods.by_scheme:
            return None
        remembered = self._open_memory()
        attempt = self._attempt(scheme, word, network)
        # Another name than `authentication:`, where processes of an earlier version keep what is not sealed.
        cache_key = f"verified:{attempt.digest}"

        async def make() -> JSON:
            since = self._clock()
            user = await self._checked(scheme, word, attempt)
            if user is None:
                return None
            return remembered.entry(cache_key, Memory(user, since, self._clock() + self._seconds))

        if self._seconds > 0:
            earliest = self._clock() if anew else -math.inf
            entry = await self._cache.get_or_make(cache_key, self._seconds, make)
            memory = remembered.memory(cache_key, entry)
            # Or others wrote there.
            if entry is not None and (memory is None or self._has_ended(memory, earliest)):
                await self._cache.delete(cache_key)
                memory = remembered.memory(
                    cache_key, await self._cache.get_or_make(cache_key, self._seconds, make)
                )
        else:
            memory = remembered.memory(cache_key, await make())
        if memory is None:
            return None
        # Not beyond the time that was set when it was verified, maybe by another process.
        until = min(memory.until, self._clock() + self._seconds)
        return _Known(
            Identification(memory.user, self._methods.by_scheme[scheme][0].scheme), until, cache_key
        )

    async def _checked(self, scheme: str, word: str, attempt: Attempt) -> User | None:
        """The user of a credential, found out when it is its turn."""
        if not scheme:  # there is nothing to guess
            return await self._methods.identify(scheme, word)
        return await self._throttle.guarded(attempt, partial(self._methods.identify, scheme, word))

    def _has_ended(self, memory: Memory, earliest: float) -> bool:
        """Whether the credentials were verified by `earliest`, ended, or belong to a user who was
        forgotten, before the cache forgot who it was.
        """
        forgotten = self._forgotten.get((memory.user.username, memory.user.realm), -math.inf)
        return memory.until <= self._clock() or memory.since <= max(forgotten, earliest)
