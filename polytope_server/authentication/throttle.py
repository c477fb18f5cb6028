"""Slows down guesses, and nothing else, by what is known of failed log-ins and of right credentials.

Failures are counted for each user name and each address, in the cache, so that all frontends count together.
Beyond a limit

* a wrong credential is answered with 429 instead of 401. It was checked before: a right one gets in whatever
  happened to its name or address.
* credentials of that name or address are checked slowly, one after the other, unless the very same were right
  before. What is remembered of those is a keyed hash, and it only says that they need not wait: they are
  checked all the same. See :mod:`polytope_server.accounts.fair_queue`.

So an attacker delays only log-ins with credentials that were not used for weeks, from the attacker's address
or with the name that is being guessed: they wait for a slot that all such log-ins share, address by address.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cachetools import LRUCache

from polytope_server.accounts.fair_queue import Flow, Reputation, in_flow
from polytope_server.authentication import basic
from polytope_server.caching import Cache
from polytope_server.caching.window import SlidingWindow

T = TypeVar("T")

#: How many failures in a minute have no consequence.
_MOST_OF_NAME, _MOST_OF_ADDRESS = 10, 50
_SECONDS = 60.0
#: Credentials that are used this often stay trusted; a cache keeps nothing for longer.
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
        """`digest` makes keyed hashes: what is typed as a user name may be a password."""
        self._cache = cache
        self._digest = digest
        self._failures = SlidingWindow(cache, "failures", _SECONDS, clock=clock)
        # PERF and safety: in front of the cache, which forgets when it is full.
        self._right: LRUCache[str, bool] = LRUCache(_KNOWN)

    async def guarded(self, attempt: Attempt, check: Callable[[], Awaitable[T]]) -> T:
        """What `check` finds, in the flow of the attempt; None or False counts as a failure."""
        with in_flow(await self.flow(attempt)):
            found = await check()
        await (self._record_success(attempt) if found else self._record_failure(attempt))
        return found

    async def flow(self, attempt: Attempt) -> Flow:
        """Where the attempt is queued."""
        if attempt.digest in self._right or await self._was_right(attempt):
            reputation = Reputation.TRUSTED
        else:
            reputation = Reputation.SUSPECT if await self.wait(attempt) else Reputation.UNKNOWN
        return Flow(reputation, attempt.address, attempt.name)

    async def _record_failure(self, attempt: Attempt) -> None:
        """The credentials were wrong."""
        self._right.pop(attempt.digest, None)
        await asyncio.gather(*(self._failures.add(key) for key, _ in self._limits_of(attempt)))

    async def _record_success(self, attempt: Attempt) -> None:
        """The credentials were right."""
        self._right[attempt.digest] = True
        await self._cache.set(_trusted_key(attempt), self._success_mark(attempt), _KNOWN_SECONDS)

    async def _was_right(self, attempt: Attempt) -> bool:
        # The value is compared, or a process that can write to the cache could make guesses that do not wait.
        return await self._cache.get(_trusted_key(attempt)) == self._success_mark(attempt)

    def _success_mark(self, attempt: Attempt) -> str:
        return self._digest("right", attempt.digest)

    async def wait(self, attempt: Attempt) -> int:
        """Seconds until one more failure of the name and the address has no consequence.

        0 if there were not too many.
        """
        limits = self._limits_of(attempt)
        counts = await asyncio.gather(*(self._failures.look(key) for key, _ in limits))
        found = zip(counts, limits, strict=True)
        waits = [count.wait(most - 1) for count, (_, most) in found if count.total > most]
        return math.ceil(max(waits, default=0.0))

    def _limits_of(self, attempt: Attempt) -> list[tuple[str, int]]:
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


def _trusted_key(attempt: Attempt) -> str:
    return f"known:{attempt.digest}"
