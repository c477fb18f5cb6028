"""Leases of workers that fell silent: their requests are tried again, or fail if that happened too often."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.notices import Notices, Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore
from polytope_server.retry import after_lost_lease
from polytope_server.settings.processes import WorkerSettings

logger = logging.getLogger(__name__)

#: Seconds between two looks: one query, and not in the way of each promotion.
_INTERVAL = 0.5
#: The most leases, and seconds, of one look; the next look goes on from there.
_BATCH, _LOOK_TIME = 100, 1.0


class Expiry:
    """Ends leases that the store says have ended; it decides again, with each, in the same operation.

    A worker renews three times within each lease. When none of them could (the store was away, or its clock
    has jumped), or when this broker does not know whether they could (it has just taken the lead),
    all workers get one whole lease to renew before any is ended.
    """

    def __init__(
        self,
        store: RequestStore,
        notices: Notices,
        metrics: BrokerMetrics,
        settings: WorkerSettings,
        *,
        requeued: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        """`requeued` and `failed` are called with the id of a request to which that happened."""
        self._store = store
        self._notices = notices
        self._metrics = metrics
        self._settings = settings
        self._requeued = requeued
        self._failed = failed
        self._next = 0.0
        self._held_until = -math.inf
        store.local_clock.observe_jumps(self._clock_jumped)

    def hold(self) -> None:
        """End no lease for the time of one: workers may not have been able to renew until now."""
        self._held_until = time.monotonic() + self._settings.lease

    @property
    def _held(self) -> bool:
        return time.monotonic() < self._held_until

    def answered(self, seconds: float) -> None:
        """The store has taken that long for an answer: workers that ask it may have waited likewise.

        A store that is always that slow keeps leases from ending only half of the time.
        """
        lease = self._settings.lease
        if seconds > lease / 3 and time.monotonic() > self._held_until + lease:
            self.hold()

    def _clock_jumped(self, seconds: float) -> None:
        if abs(seconds) > self._settings.lease / 6:
            logger.warning("the clock of the request store has jumped by %.1f s", seconds)
            self.hold()

    async def run(self) -> None:
        """End the leases that have ended, if it is time to look. Raises StoreUnavailableError."""
        if self._held or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _INTERVAL
        asked = time.monotonic()
        found = await self._store.expired(_BATCH)
        self.answered(time.monotonic() - asked)
        if found:  # did time pass for the workers, too?
            await self._store.local_clock.measure()
        until = time.monotonic() + _LOOK_TIME
        for request in found:
            if self._held or time.monotonic() > until:
                return
            await self._expire(request)

    async def _expire(self, request: Request) -> None:
        to, changes = after_lost_lease(request, self._settings)
        if await self._store.expire(request.id, request.attempt, to, **changes) is None:
            return
        logger.warning("request %s: the lease of worker %s ended", request.id, request.worker)
        self._metrics.expired(request.collection)
        if to is Status.QUEUED:
            self._requeued(request.id)
        else:
            self._metrics.failed(request.collection)
            self._failed(request.id)
            self._notices.publish(Topic.ENDED, request.id)
