"""Finds out who makes a call: all schemes, all realms, and a memory of who was verified.

A verified credential is remembered, by keyed hash, for `authentication.cache` seconds: that is how long at
most a removed user, a revoked key or a role that was taken away still counts. Credentials that end by
themselves are not remembered after that. The process that removes something calls
:meth:`Authentication.forget_user` and forgets at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from polytope_server.authentication import AuthenticationUnavailableError, header
from polytope_server.authentication.cache_entries import CacheEntries
from polytope_server.authentication.identification import Identification, UnauthenticatedError
from polytope_server.authentication.methods import Methods
from polytope_server.authentication.recent_headers import RefusedHeaders, VerifiedHeader, VerifiedHeaders
from polytope_server.authentication.throttle import Attempt, Throttle, name_of
from polytope_server.authentication.verified_users import VerifiedUsers
from polytope_server.redaction import present
from polytope_server.settings.networks import network_of
from polytope_server.user import User

__all__ = ["Authentication", "Identification", "UnauthenticatedError"]

_UNREADABLE = "Could not read authorization header, expected 'Authorization: <type> <credentials>'"
_TOO_LONG = f"The Authorization header has more than {header.MAX_LENGTH} characters"
_NOT_CONFIGURED = "No authentication is configured on this server, so no user can log in"
_WRONG = "Invalid credentials"


class Authentication:
    """Authenticators, federation, API keys and authorizers of the configuration, behind one call.

    :func:`polytope_server.authentication.configuration.create_authentication` makes it from the settings.
    """

    def __init__(
        self,
        *,
        methods: Methods,
        entries: CacheEntries,
        users: VerifiedUsers,
        verified: VerifiedHeaders,
        refused: RefusedHeaders,
        throttle: Throttle,
    ) -> None:
        self._methods = methods
        self._entries = entries
        self._users = users
        self._verified = verified
        self._refused = refused
        self._throttle = throttle
        self._header_key = secrets.token_bytes(32)
        self.challenges = methods.challenges()

    async def open(self) -> None:
        """Connect everything. Raises ValueError or OSError if the deployment's key cannot be loaded."""
        await self._entries.open()
        await self._methods.open()

    async def close(self) -> None:
        """Disconnect everything and forget who was verified."""
        self._verified.clear()
        self._refused.clear()
        await self._methods.close()

    async def authenticate(
        self, authorization: str | None, address: str = "", *, fresh: bool = False
    ) -> Identification:
        """Who makes a call with this Authorization header (None: without one) from this address.

        With `fresh` earlier verifications do not count: for what outlives the memory, such as a new API key.
        Raises :class:`UnauthenticatedError` if the credentials are missing or wrong, and
        :class:`AuthenticationUnavailableError` if none is right and some cannot be checked now.
        """
        authorization = authorization or ""
        if len(authorization) > header.MAX_LENGTH:
            raise self._refusal(_TOO_LONG)
        key = self._header_digest(authorization)
        if fresh:
            self._verified.remove(key)
        if (known := self._verified.get(key)) is not None:
            return known.identification
        if (refusal := self._refused.get(key)) is not None:
            raise refusal
        credentials = header.split(authorization) if authorization.strip() else [header.Credential("", "")]
        present([authorization, *(secret for one in credentials for secret in one.secrets())])
        network = network_of(address)
        found = await self._first_right(credentials, network, fresh)
        if found is None:
            raise await self._refuse(key, credentials, network)
        self._verified.add(key, found)
        return found.identification

    async def forget_user(self, username: str, realm: str) -> None:
        """Forget what this process remembers of a user, to be called when something of theirs was revoked.

        It also forgets who was refused, so that a user just added is let in at once.
        """
        self._refused.clear()
        self._users.forget(username, realm)
        for digest in self._verified.remove_user(username, realm):
            await self._users.remove(digest)

    async def prove(
        self, user: User, password: str, address: str, check: Callable[[], Awaitable[bool]]
    ) -> bool:
        """What `check` says of a password that the caller sends for a user, besides the header of the call.

        It is queued as a log-in is, and a wrong one counts as a failure. Raises :class:`UnauthenticatedError`
        if it is wrong, as were too many.
        """
        digest = self._entries.digest("password", user.realm, user.username, password)
        attempt = Attempt(digest, network_of(address), user.username)
        right = bool(await self._throttle.guarded(attempt, check))
        if not right and (refusal := await self._refusal_of_too_many([attempt])):
            raise refusal
        return right

    def _header_digest(self, authorization: str) -> bytes:
        text = authorization.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._header_key, digest_size=32).digest()

    async def _first_right(
        self, credentials: list[header.Credential], network: str, fresh: bool
    ) -> VerifiedHeader | None:
        """What the first of the credentials that is right says."""
        unavailable: AuthenticationUnavailableError | None = None
        for scheme, word in dict.fromkeys(credentials):
            try:
                found = await self._verify(scheme.lower(), word, network, fresh)
            except AuthenticationUnavailableError as error:
                unavailable = error
                continue
            if found is not None:
                return found
        if unavailable is not None:
            raise unavailable
        return None

    async def _verify(self, scheme: str, word: str, network: str, fresh: bool) -> VerifiedHeader | None:
        """Who a credential belongs to, from the cache unless `fresh`."""
        if scheme not in self._methods.by_scheme:
            return None
        attempt = self._attempt(scheme, word, network)
        identify = partial(self._identify, scheme, word, attempt)
        found = await self._users.get_or_verify(attempt.digest, identify, fresh=fresh)
        if found is None:
            return None
        identification = Identification(found.user, self._methods.by_scheme[scheme][0].scheme)
        return VerifiedHeader(identification, found.until, attempt.digest)

    async def _identify(self, scheme: str, word: str, attempt: Attempt) -> User | None:
        """The user of a credential, which is checked when it is its turn."""
        if not scheme:  # there is nothing to guess
            return await self._methods.identify(scheme, word)
        return await self._throttle.guarded(attempt, partial(self._methods.identify, scheme, word))

    def _attempt(self, scheme: str, word: str, network: str) -> Attempt:
        return Attempt(self._entries.digest("credentials", scheme, word), network, name_of(scheme, word))

    async def _refuse(
        self, key: bytes, credentials: list[header.Credential], network: str
    ) -> UnauthenticatedError:
        """The refusal of credentials none of which is right; wrong ones are remembered."""
        message = self._reason(credentials)
        if message != _WRONG:
            return self._refusal(message)
        attempts = [self._attempt(scheme.lower(), word, network) for scheme, word in credentials]
        refusal = await self._refusal_of_too_many(attempts) or self._refusal(message)
        self._refused.add(key, refusal)
        return refusal

    async def _refusal_of_too_many(self, attempts: Iterable[Attempt]) -> UnauthenticatedError | None:
        """The refusal of wrong credentials if there were too many lately."""
        seconds = max(await asyncio.gather(*map(self._throttle.wait, attempts)))
        if not seconds:
            return None
        message = f"{_WRONG}, too many times. Try again in {seconds} seconds."
        return UnauthenticatedError(message, self.challenges, seconds)

    def _refusal(self, message: str) -> UnauthenticatedError:
        return UnauthenticatedError(message, self.challenges)

    def _reason(self, credentials: list[header.Credential]) -> str:
        if not self._methods.by_scheme:
            return _NOT_CONFIGURED
        schemes = [credential.scheme for credential in credentials]
        if any(scheme and scheme.lower() in self._methods.by_scheme for scheme in schemes):
            return _WRONG
        # polytope-client 0.7 fails on a message that holds the word `expired`, so it is not repeated.
        shown = next((scheme for scheme in schemes if scheme and "expired" not in scheme.lower()), None)
        return f'No authentication providers for authentication type "{shown}"' if shown else _UNREADABLE
