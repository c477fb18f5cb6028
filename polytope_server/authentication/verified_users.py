"""Verified users, by credential, in the cache that all frontends share; and when users were forgotten."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cachetools import TTLCache

from polytope_server.authentication.cache_entries import CacheEntries, Verification
from polytope_server.caching import JSON, Cache
from polytope_server.user import User

_MOST = 10_000


class ForgottenUsers:
    """When users were forgotten: verifications that began before count no more.

    That includes what other processes put into the cache, and verifications that were running at the time.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """`seconds` is how long a verification counts: nothing older has to be known."""
        self._clock = clock
        self._times: TTLCache[tuple[str, str], float] = TTLCache(_MOST, seconds, timer=clock)

    def add(self, username: str, realm: str) -> None:
        """Forget a user now."""
        self._times[username, realm] = self._clock()

    def when(self, user: User) -> float:
        """When the user was last forgotten (seconds since the epoch); minus infinity if not lately."""
        return self._times.get((user.username, user.realm), -math.inf)


class VerifiedUsers:
    """The users of credentials that were verified lately, by whichever frontend."""

    def __init__(
        self,
        cache: Cache,
        entries: CacheEntries,
        forgotten: ForgottenUsers,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """A verification counts for `seconds`; with 0 the cache is not used."""
        self._cache = cache
        self._entries = entries
        self._forgotten = forgotten
        self._seconds = seconds
        self._clock = clock

    async def get_or_verify(
        self, digest: str, verify: Callable[[], Awaitable[User | None]], *, fresh: bool = False
    ) -> Verification | None:
        """The user of the credential with that digest, from the cache or else from `verify`.

        None if the credential is wrong. With `fresh` a verification that began before this call does not
        count. What `verify` raises passes through.
        """
        key = _cache_key(digest)

        async def make() -> JSON:
            since = self._clock()
            user = await verify()
            if user is None:
                return None
            return self._entries.seal(key, Verification(user, since, self._clock() + self._seconds))

        if self._seconds > 0:
            earliest = self._clock() if fresh else -math.inf
            found = await self._get_or_make(key, make, earliest)
        else:
            found = self._entries.unseal(key, await make())
        if found is None:
            return None
        # Not beyond the time that was set when it was verified, maybe by another process.
        return replace(found, until=min(found.until, self._clock() + self._seconds))

    async def remove(self, digest: str) -> None:
        """Remove the user of a credential from the cache."""
        await self._cache.delete(_cache_key(digest))

    def forget(self, username: str, realm: str) -> None:
        """Let no earlier verification of a user count, wherever it is kept."""
        self._forgotten.add(username, realm)

    async def _get_or_make(
        self, key: str, make: Callable[[], Awaitable[JSON]], earliest: float
    ) -> Verification | None:
        entry = await self._cache.get_or_make(key, self._seconds, make)
        found = self._entries.unseal(key, entry)
        # An entry that cannot be unsealed was not written by this deployment.
        if entry is not None and (found is None or self._has_ended(found, earliest)):
            await self._cache.delete(key)
            found = self._entries.unseal(key, await self._cache.get_or_make(key, self._seconds, make))
        return found

    def _has_ended(self, verification: Verification, earliest: float) -> bool:
        """Whether it counts no more although the cache still has it: its time is over, its user was
        forgotten, or it began before `earliest`.
        """
        begins_to_count = max(self._forgotten.when(verification.user), earliest)
        return verification.until <= self._clock() or verification.since <= begins_to_count


def _cache_key(digest: str) -> str:
    # Not `authentication:`, under which processes of an earlier version keep what is not sealed.
    return f"verified:{digest}"
