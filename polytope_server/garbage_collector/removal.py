"""Removes requests with their objects, and leaves tombstones for their owners."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from polytope_server.garbage_collector.metrics import CollectorMetrics
from polytope_server.request import Status
from polytope_server.request_store import RequestStore
from polytope_server.request_store.retention import Reason, Summary
from polytope_server.staging import Staging

#: Requests that are removed in one step of the store, and those whose objects are deleted at the same time.
BATCH, _AT_ONCE = 100, 8


class Remover:
    """Removes what it is given, and counts it."""

    def __init__(
        self, store: RequestStore, staging: Staging, metrics: CollectorMetrics, tombstones: int
    ) -> None:
        """Of each user, `tombstones` are kept."""
        self._store, self._staging, self._metrics = store, staging, metrics
        self._tombstones = tombstones

    async def remove(self, found: Sequence[Summary], status: Status, reason: Reason) -> list[Summary]:
        """Remove those of the requests that are still in that state, at most :data:`BATCH`; returns them."""
        # The requests go first: should this process end in between, their objects are orphans.
        ids = await self._store.bury([summary.id for summary in found], status, reason)
        removed = [summary for summary in found if summary.id in ids]
        self._metrics.requests.inc(len(removed))
        for user_id in {summary.user_id for summary in removed}:
            await self._store.trim_tombstones(user_id, self._tombstones)
        await self.delete_objects([(summary.id, summary.content_length) for summary in removed])
        return removed

    async def delete_objects(self, requests: Sequence[tuple[str, int]]) -> None:
        """Delete all objects of these requests, with their sizes in bytes as far as they are known."""
        for start in range(0, len(requests), _AT_ONCE):
            some = requests[start : start + _AT_ONCE]
            await asyncio.gather(*(self._delete(request_id, size) for request_id, size in some))

    async def _delete(self, request_id: str, size: int) -> None:
        if count := await self._staging.delete_request(request_id):
            self._metrics.removed(count, size)
