"""The garbage collector: old requests, old metrics, orphaned and surplus results."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from polytope_server.garbage_collector.metrics import CollectorMetrics
from polytope_server.garbage_collector.removal import BATCH, Remover
from polytope_server.garbage_collector.space import Room
from polytope_server.garbage_collector.survey import survey
from polytope_server.metric_store import MetricStore
from polytope_server.request import TERMINAL, Status
from polytope_server.request_store import RequestStore
from polytope_server.request_store.retention import Reason
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import opened, serve_until
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.settings import Settings
from polytope_server.staging import Staging

logger = logging.getLogger(__name__)

#: Steps of the removal of old requests, tombstones and metrics that one pass takes; the next one goes on.
_STEPS = 1000
#: Tombstones that are forgotten, and metrics that are removed, in one step.
_SLICE = 1000
#: Seconds that an upload which is slow, but not too slow to be accepted, may take for one part.
_SLOWEST_PART = 3 * 3600.0


_ALARM = (
    "{found.orphans} of {found.objects} objects of the staging belong to no request that is stored, more "
    "than garbage-collector.orphan_share ({share:g}) of all: none of them is removed, and no room is made. "
    "Is request_store the right one, and complete? If it is, set garbage-collector.orphan_share to 1 until "
    "they are gone."
)


class StoppedError(RuntimeError):
    """A step was not done, because what it was about to do is more likely wrong than right."""


@dataclass(frozen=True)
class Parts:
    """The back-ends of a garbage collector, not opened yet."""

    store: RequestStore
    staging: Staging
    metric_store: MetricStore


class GarbageCollector:
    """Runs a pass every `garbage-collector.interval`. Several may run: repeated steps do no harm."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings.garbage_collector
        #: What has not been written to for this time has been abandoned.
        self._write_time = max(settings.worker.timeout, _SLOWEST_PART)
        self._store, self._staging, self._metric_store = parts.store, parts.staging, parts.metric_store
        self.metrics = CollectorMetrics()
        self._remover = Remover(self._store, self._staging, self.metrics, self._settings.tombstones)
        self._room = Room(self._store, self._staging, self._remover, self._settings)
        self.health = Health(
            {
                "request_store": Check(self._store.check),
                "staging": Check(self._staging.check),
                "metric_store": Check(self._metric_store.check),
            }
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set."""
        parts = (self._store, self._staging, self._metric_store)
        async with opened(parts, stop) as ready:
            if not ready:
                return
            self.health.started = True
            # A pass may be broken off anywhere: what is left to do the next one finds.
            await serve_until(stop.wait(), asyncio.create_task(self._collect_repeatedly()))

    async def _collect_repeatedly(self) -> None:
        while True:
            await self.collect()
            await asyncio.sleep(self._settings.interval)

    async def collect(self) -> None:
        """One pass; a step that fails is logged, the others are done, and the next pass tries again."""
        well = True
        steps = (
            self._remove_old,
            self._remove_unfinished,
            self._remove_tombstones,
            self._remove_metrics,
            self._clean_staging,
        )
        for step in steps:
            try:
                await step()
            except StoppedError as error:
                logger.error("%s", error)
                well = False
            except UnavailableError as error:
                logger.error("%s failed: %s; it is repeated in the next pass", step.__name__, error)
                well = False
            except Exception:
                logger.exception("%s failed; it is repeated in the next pass", step.__name__)
                well = False
        if well:
            self.metrics.succeeded.set_to_current_time()

    async def _remove_old(self) -> None:
        # While it is away, what is removed from the store would become orphans, pass by pass.
        await self._staging.check()
        for status in sorted(TERMINAL):
            await self._remove_stale(status, self._settings.age, Reason.AGE)
        await self._remove_stale(Status.UPLOADING, self._settings.upload_age, Reason.NO_UPLOAD)

    async def _remove_stale(self, status: Status, age: float, reason: Reason) -> None:
        for _ in range(_STEPS):
            found = await self._store.stale(status, age, BATCH)
            # Nothing is gained by asking again for what cannot be removed.
            if not found or not await self._remover.remove(found, status, reason):
                return

    async def _remove_unfinished(self) -> None:
        self.metrics.unfinished.inc(await self._staging.abandoned(time.time() - self._write_time))

    async def _remove_tombstones(self) -> None:
        await _repeat_step(lambda: self._store.remove_tombstones(self._settings.tombstone_age, _SLICE))

    async def _remove_metrics(self) -> None:
        before = time.time() - self._settings.metric_age
        await _repeat_step(lambda: self._metric_store.remove_old(before, _SLICE))

    async def _clean_staging(self) -> None:
        found = await survey(self._staging, self._store, self._settings.orphan_age)
        plausible = found.is_plausible(self._settings.orphan_share)
        self.metrics.surveyed(found.objects, found.size, found.orphans, stopped=not plausible)
        if not plausible:
            raise StoppedError(_ALARM.format(found=found, share=self._settings.orphan_share))
        await self._remover.delete_objects(found.orphaned)
        for leftover in found.leftovers:
            if await self._staging.delete(leftover.name):
                self.metrics.removed(1, leftover.size)
        gone = sum(size for _, size in found.orphaned) + sum(one.size for one in found.leftovers)
        await self._room.make(found.size - gone)


async def _repeat_step(step: Callable[[], Awaitable[int]]) -> None:
    """Take the step until it finds nothing more to remove, or this pass has taken enough of them."""
    for _ in range(_STEPS):
        if not await step():
            return
