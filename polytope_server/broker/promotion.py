"""Promotes waiting requests, and knows for how long one that got no answer may still take place."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from polytope_server.request_store import RequestStore

#: Seconds after which no store works on a statement any more.
_LONGEST_WRITE = 6.0


class Promotion:
    """The promotions of one broker, one at a time.

    While one may still take place, what counts for the limits is not known: nothing else is promoted, and the
    lead must not be given back.
    """

    def __init__(self, store: RequestStore, leader: str, lease: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._leader = leader
        self._lease = lease
        self._clock = clock
        self._settled_at = 0.0
        self._under_way = asyncio.Lock()
        self._stopped = False

    @property
    def settled(self) -> bool:
        """Whether no promotion can take place any more that this broker has asked for without an answer."""
        return self._clock() >= self._settled_at

    async def settle(self) -> None:
        """After a promotion without an answer: ask whether the store answers again, and count from then.

        The store may have stood still with the promotion in its hands, and make it when it goes on.

        Raises :class:`~polytope_server.request_store.StoreUnavailableError`.
        """
        if self._settled_at == math.inf:
            await self._store.check()
            self._settled_at = self._clock() + max(self._lease, _LONGEST_WRITE)

    async def promote(self, request_ids: list[str], term: int) -> set[str] | None:
        """Promote requests; returns those that were promoted, None if this broker is to stop.

        Raises :class:`~polytope_server.request_store.StoreUnavailableError`.
        """
        async with self._under_way:
            if self._stopped:
                return None
            try:
                return await self._store.promote(request_ids, self._leader, term)
            except BaseException:
                self._settled_at = math.inf
                raise

    async def stop(self) -> None:
        """Make no further promotion; wait for the one under way, for the time of a lease at most."""
        self._stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lease), self._under_way:
                pass
