"""The outcome of an attempt: recorded in the store, published to those who wait for it, counted."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from polytope_server.metric_store import MetricStore, RequestStatusChange
from polytope_server.notices import Notices, Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore, StoreUnavailableError, UnknownStateError
from polytope_server.staging import StagedObject
from polytope_server.worker.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

_PAUSE = 0.2
#: Metrics of this many seconds are stored together.
_GATHERED = 0.25


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: the state that its request goes to, and the fields that change with it."""

    to: Status
    changes: Mapping[str, Any] = field(default_factory=dict)
    #: The result in staging, of no use if the outcome is refused.
    result: StagedObject | None = None

    @classmethod
    def succeeded(cls, result: StagedObject | None, notes: str = "") -> Outcome:
        """The request is processed. An archive has no result. `notes` follow in its message."""
        changes: dict[str, Any] = {"user_message": "\n".join(filter(None, ["Success", notes])), "worker": ""}
        if result is not None:
            changes |= {
                "result": result.name,
                "content_type": result.content_type,
                "content_length": result.size,
                "md5": result.md5,
            }
        return cls(Status.PROCESSED, changes, result)

    @classmethod
    def failed(cls, reason: str) -> Outcome:
        """The request cannot be served, however often it is tried."""
        return cls(Status.FAILED, {"user_message": reason, "worker": ""})

    @classmethod
    def handed_back(cls) -> Outcome:
        """The worker ends before the attempt did; that does not count as a failure."""
        return cls(Status.QUEUED, {"worker": "", "lease_until": 0.0})


class Outcomes:
    """Records outcomes; `spawn` runs what need not be waited for."""

    def __init__(
        self,
        store: RequestStore,
        notices: Notices,
        metric_store: MetricStore,
        metrics: WorkerMetrics,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._notices = notices
        self._metric_store = metric_store
        self._metrics = metrics
        self._spawn = spawn
        self._uncounted: list[RequestStatusChange] = []

    async def record(self, request: Request, outcome: Outcome) -> bool:
        """Record the outcome of this attempt; False if the request is no longer this worker's.

        While the store cannot be reached this tries again. Should the lease end meanwhile, the outcome is
        refused, as it must be.
        """
        to, changes = outcome.to, outcome.changes
        recorded = await self._make_transition(request, to, changes)
        if recorded is None:
            logger.info("attempt %d was overtaken; its outcome is dropped", request.attempt)
            self._metrics.overtaken(request)
            return False
        self._metrics.recorded(request, recorded, changes)
        self._notices.publish(Topic.REQUEUED if to is Status.QUEUED else Topic.ENDED, request.id)
        logger.info("%s", f"failed: {recorded.user_message}" if to is Status.FAILED else to)
        if to is not Status.QUEUED:
            self._count_end(recorded)
        return True

    async def _make_transition(
        self, request: Request, to: Status, changes: Mapping[str, Any]
    ) -> Request | None:
        uncertain = False
        while True:
            try:
                changed = await self._store.transition(
                    request.id, Status.PROCESSING, request.attempt, to, **changes
                )
                if changed is None and uncertain:
                    changed = await self._find_done(request, to, changes)
                return changed
            except StoreUnavailableError as error:
                logger.warning("cannot record the outcome: %s", error)
                uncertain = True
                await asyncio.sleep(_PAUSE)

    async def _find_done(self, request: Request, to: Status, changes: Mapping[str, Any]) -> Request | None:
        """The request, if the store had made the transition before its answer was lost."""
        try:
            found = await self._store.get(request.id)
        except UnknownStateError:  # which no outcome of this version has
            return None
        if found is None or (found.status, found.attempt) != (to, request.attempt):
            return None
        same = all(getattr(found, key) == value for key, value in changes.items() if key != "delay")
        return found if same else None

    def _count_end(self, request: Request) -> None:
        if not self._uncounted:
            self._spawn(self._store_metrics())
        self._uncounted.append(
            RequestStatusChange(
                request.id, request.user.id, request.status, request.last_modified, socket.gethostname()
            )
        )

    async def _store_metrics(self) -> None:
        try:
            await asyncio.sleep(_GATHERED)
        finally:  # also when this worker ends
            metrics, self._uncounted = self._uncounted, []
            try:
                await self._metric_store.add(*metrics)
            except Exception:
                # Statistics must never stand in the way of a request.
                logger.exception("%d metrics could not be stored", len(metrics))
