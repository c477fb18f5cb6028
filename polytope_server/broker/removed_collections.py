"""Waiting requests of collections that were removed from the configuration: nothing else would end them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.notices import Notices, Topic
from polytope_server.request import Status
from polytope_server.request_store import RequestStore, RequestSummary

#: The most requests that fail in one turn.
_FAILURES = 20


class RemovedCollections:
    """Fails such requests, some at a time. `is_configured` says whether a collection is there."""

    def __init__(
        self,
        store: RequestStore,
        notices: Notices,
        metrics: BrokerMetrics,
        is_configured: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._notices = notices
        self._metrics = metrics
        self._is_configured = is_configured
        self._waiting: dict[str, RequestSummary] = {}

    def note(self, summaries: Iterable[RequestSummary]) -> None:
        """Take note of those of the waiting and queued requests whose collection was removed."""
        for summary in summaries:
            if not self._is_configured(summary.collection):
                self._waiting[summary.id] = summary

    def forget(self, request_id: str) -> None:
        """A request has ended, or was removed."""
        self._waiting.pop(request_id, None)

    async def fail_some(self) -> bool:
        """Fail some of the requests noted; returns whether there are more.

        Raises :class:`~polytope_server.request_store.StoreUnavailableError`; the next call goes on there.
        """
        for summary in list(islice(self._waiting.values(), _FAILURES)):
            message = f"The collection {summary.collection} is no longer available."
            failed = await self._store.transition(
                summary.id, summary.status, summary.attempt, Status.FAILED, user_message=message
            )
            del self._waiting[summary.id]
            if failed is not None:
                self._metrics.failed(summary.collection)
            self._notices.publish(Topic.ENDED, summary.id)
        return bool(self._waiting)
