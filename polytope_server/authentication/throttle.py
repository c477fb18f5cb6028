"""Who failed to log in lately, and who was right: by this those who guess are slowed down, and nobody else.

Failures are counted for each user name and each address, in the cache, so that all frontends count together.
Beyond a limit

* a wrong credential is answered with 429 instead of 401. It was checked before: a right one gets in whatever
  happened to its name or address.
* credentials of that name or address are checked slowly, one after the other, unless the very same were right
  before. What is remembered of those is a keyed hash, and it only says that they need not wait: they are
  checked all the same. See :mod:`polytope_server.accounts.fair_queue`.

So an attacker can make wait only those who log in for the first time in weeks, from the attacker's address or
with the name that is being guessed: for a slot that all such log-ins share, address by address.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cachetools import LRUCache

from polytope_server.accounts.fair_queue import Asker, Standing, asking
from polytope_server.authentication import basic
from polytope_server.caching import Cache
from polytope_server.caching.window import SlidingWindow

T = TypeVar("T")

#: So many failures in the last minute are let pass.
_MOST_OF_NAME, _MOST_OF_ADDRESS = 10, 50
_SECONDS = 60.0
#: Somebody who logs in this often is known; a cache keeps nothing for longer.
_KNOWN_SECONDS = 28 * 86400.0
_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """Credentials that are to be checked. `digest` is a keyed hash of them."""

    digest: str
    address: str
    name: str


class Throttle:
    """Remembers failures and successes."""

    def __init__(self, cache: Cache, digest: Callable[..., str], clock: Callable[[], float]) -> None:
        """`digest` makes keyed hashes: what somebody types as a user name may be a password."""
        self._cache = cache
        self._digest = digest
        self._failures = SlidingWindow(cache, "failures", _SECONDS, clock=clock)
        # PERF and safety: in front of the cache, which forgets when somebody fills it.
        self._right: LRUCache[str, bool] = LRUCache(_KNOWN)

    async def guarded(self, attempt: Attempt, check: Callable[[], Awaitable[T]]) -> T:
        """What `check` finds, when it is the attempt's turn; None or False counts as a failure."""
        with asking(await self._asker(attempt)):
            found = await check()
        await (self._succeeded(attempt) if found else self._failed(attempt))
        return found

    async def _asker(self, attempt: Attempt) -> Asker:
        """Whose turn it is that the attempt takes."""
        if attempt.digest in self._right or await self._was_right(attempt):
            standing = Standing.TRUSTED
        else:
            standing = Standing.SUSPECT if await self.wait(attempt) else Standing.UNKNOWN
        return Asker(standing, attempt.address, attempt.name)

    async def _failed(self, attempt: Attempt) -> None:
        """The credentials were wrong."""
        self._right.pop(attempt.digest, None)
        await asyncio.gather(*(self._failures.add(key) for key, _ in self._limits(attempt)))

    async def _succeeded(self, attempt: Attempt) -> None:
        """The credentials were right."""
        self._right[attempt.digest] = True
        await self._cache.set(_known(attempt), self._mark(attempt), _KNOWN_SECONDS)

    async def _was_right(self, attempt: Attempt) -> bool:
        # Not whatever is there: who can write to the cache would make guesses that need not wait.
        return await self._cache.get(_known(attempt)) == self._mark(attempt)

    def _mark(self, attempt: Attempt) -> str:
        return self._digest("right", attempt.digest)

    async def wait(self, attempt: Attempt) -> int:
        """Seconds until one more failure of the name and the address would be let pass; 0 if there were not
        too many.
        """
        limits = self._limits(attempt)
        counts = await asyncio.gather(*(self._failures.look(key) for key, _ in limits))
        found = zip(counts, limits, strict=True)
        waits = [count.wait(most - 1) for count, (_, most) in found if count.total > most]
        return math.ceil(max(waits, default=0.0))

    def _limits(self, attempt: Attempt) -> list[tuple[str, int]]:
        limits = [(self._digest("address", attempt.address), _MOST_OF_ADDRESS)]
        if attempt.name:
            limits.append((self._digest("name", attempt.name), _MOST_OF_NAME))
        return limits


def name_of(scheme: str, credentials: str) -> str:
    """The user name in credentials; empty if there is none to guess passwords for."""
    if scheme in ("basic", "plain"):
        decoded = basic.decode(credentials)
        return decoded[0] if decoded else ""
    return credentials.partition(":")[0].casefold() if scheme == "emailkey" else ""


def _known(attempt: Attempt) -> str:
    return f"known:{attempt.digest}"
