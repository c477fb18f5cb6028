"""The garbage collector: old requests, old metrics, orphaned and surplus results."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from polytope_server.config import Configuration, create_backend
from polytope_server.garbage_collector.metrics import CollectorMetrics
from polytope_server.management.health import Check, Health
from polytope_server.metric_store import MetricStore
from polytope_server.process import opened, serve_until
from polytope_server.request import TERMINAL, Request, Status
from polytope_server.request_store import RequestStore
from polytope_server.staging import StagedObject, Staging, request_of

logger = logging.getLogger(__name__)

_BATCH = 500


class GarbageCollector:
    """Runs a pass every `garbage-collector.interval`. Several may run: repeated steps do no harm."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        settings = configuration.settings
        self._settings = settings.garbage_collector
        self._write_time = settings.worker.timeout
        self._store: RequestStore = create_backend("request_store", settings.request_store, data)
        self._staging: Staging = create_backend("staging", settings.staging, data)
        self._metric_store: MetricStore = create_backend("metric_store", settings.metric_store, data)
        self.metrics = CollectorMetrics()
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
            await serve_until(stop.wait(), asyncio.create_task(self._work()))

    async def _work(self) -> None:
        while True:
            await self.collect()
            await asyncio.sleep(self._settings.interval)

    async def collect(self) -> None:
        """One pass; a step that fails is logged, the others are done, and the next pass tries again."""
        well = True
        for step in (self._remove_old, self._remove_unfinished, self._remove_metrics, self._clean_staging):
            try:
                await step()
            except Exception:
                logger.exception("%s failed; it is repeated in the next pass", step.__name__)
                well = False
        if well:
            self.metrics.succeeded.set_to_current_time()

    async def _remove_old(self) -> None:
        now = time.time()
        await self._remove_stale(TERMINAL, now - self._settings.age)
        await self._remove_stale({Status.UPLOADING}, now - self._settings.upload_age)

    async def _remove_stale(self, statuses: Collection[Status], before: float) -> None:
        while found := await self._store.stale(statuses, before, _BATCH):
            for request in found:
                await self._remove(request)

    async def _remove(self, request: Request) -> None:
        # The request goes first: should this process end in between, its objects are orphans.
        if await self._store.remove(request.id, statuses={request.status}) is not None:
            self.metrics.requests.inc()
            await self._delete_all(request.id, request.content_length or 0)

    async def _delete_all(self, request_id: str, size: int) -> None:
        """Remove all objects of a request, which have `size` bytes as far as that is known."""
        if count := await self._staging.delete_request(request_id):
            self.metrics.removed(count, size)

    async def _remove_unfinished(self) -> None:
        self.metrics.unfinished.inc(await self._staging.abandoned(time.time() - self._write_time))

    async def _remove_metrics(self) -> None:
        await self._metric_store.remove_old(time.time() - self._settings.metric_age)

    async def _clean_staging(self) -> None:
        objects = [found async for found in self._staging.list()]
        self.metrics.objects_found.set(len(objects))
        self.metrics.bytes_found.set(sum(found.size for found in objects))
        by_request: dict[str, list[StagedObject]] = {}
        for found in objects:
            by_request.setdefault(request_of(found.name), []).append(found)
        kept: dict[str, list[StagedObject]] = {}
        remaining = iter(by_request.items())
        while batch := dict(islice(remaining, _BATCH)):
            existing = await self._store.existing(batch)
            for request_id, owned in batch.items():
                if request_id in existing:
                    kept[request_id] = await self._without_leftovers(request_id, owned)
                else:
                    await self._delete_all(request_id, sum(found.size for found in owned))
        await self._shrink(kept)

    async def _without_leftovers(self, request_id: str, owned: list[StagedObject]) -> list[StagedObject]:
        """Remove what attempts that were overtaken left behind; returns what stays."""
        if len(owned) == 1:
            return owned
        request = await self._store.get(request_id)
        if request is None or request.status not in TERMINAL:
            return owned
        for found in owned:
            if not request.url.endswith(found.name) and await self._staging.delete(found.name):
                self.metrics.removed(1, found.size)
        return [found for found in owned if request.url.endswith(found.name)]

    async def _shrink(self, kept: dict[str, list[StagedObject]]) -> None:
        """Remove the oldest results until the staging is smaller than the threshold."""
        total = sum(found.size for owned in kept.values() for found in owned)
        if total < self._settings.threshold:
            return
        oldest = sorted(kept, key=lambda key: max((found.modified for found in kept[key]), default=0.0))
        for request_id in oldest:
            if total < self._settings.threshold:
                return
            removed = await self._store.remove(request_id, statuses={Status.PROCESSED, Status.FAILED})
            if removed is not None:
                size = sum(found.size for found in kept[request_id])
                self.metrics.requests.inc()
                await self._delete_all(request_id, size)
                total -= size
