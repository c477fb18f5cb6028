"""The outcome of an attempt: recorded once, published, counted, and dropped if the request was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from polytope_server.metric_store import RequestStatusChange
from polytope_server.notices import Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.settings.management import MetricsSettings
from polytope_server.staging import StagedObject
from polytope_server.testing.request_store import make, queue
from polytope_server.worker import outcome as outcomes
from polytope_server.worker.metrics import WorkerMetrics
from polytope_server.worker.outcome import Outcome, Outcomes

RESULT = StagedObject("r/x.grib", 5, "a/b", "0" * 32, 0.0)


class Store(MemoryRequestStore):
    """A store that fails as often as `failures` says, after the transition if `silent`."""

    def __init__(self) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path())
        self.failures = 0
        self.silent = False

    async def transition(self, *arguments: Any, **changes: Any) -> Request | None:
        fails, self.failures = self.failures > 0, max(0, self.failures - 1)
        if not fails or self.silent:
            changed = await super().transition(*arguments, **changes)
        if fails:
            raise StoreUnavailableError("out of order")
        return changed


class Site:
    """Outcomes, with doubles of what they tell."""

    def __init__(self) -> None:
        self.store = Store()
        self.published: list[tuple[Topic, str]] = []
        self.stored: list[RequestStatusChange] = []
        self.tasks: list[asyncio.Task[None]] = []
        notices: Any = self
        metric_store: Any = self
        metrics = WorkerMetrics(MetricsSettings(), [], dict)
        self.outcomes = Outcomes(self.store, notices, metric_store, metrics, self.spawn)

    def publish(self, topic: Topic, request_id: str) -> None:
        self.published.append((topic, request_id))

    async def add(self, *metrics: RequestStatusChange) -> None:
        self.stored.extend(metrics)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def claimed(self) -> Request:
        request = make()
        await self.store.add(request)
        await queue(self.store, request)
        (found,) = await self.store.claim([request.id], "w", 60)
        return found


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(outcomes, "_PAUSE", 0.001)
    monkeypatch.setattr(outcomes, "_GATHERED", 0.001)
    return Site()


async def test_a_success_is_recorded_with_the_result_and_published(site: Site) -> None:
    request = await site.claimed()
    assert await site.outcomes.record(request, Outcome.succeeded(RESULT))
    found = await site.store.get(request.id)
    assert found is not None
    assert (found.status, found.user_message, found.worker) == (Status.PROCESSED, "Success", "")
    assert (found.content_length, found.content_type, found.md5) == (5, "a/b", "0" * 32)
    assert site.published == [(Topic.ENDED, request.id)]


async def test_a_failure_is_recorded_with_its_reason(site: Site) -> None:
    request = await site.claimed()
    assert await site.outcomes.record(request, Outcome.failed("no such data"))
    found = await site.store.get(request.id)
    assert found is not None
    assert (found.status, found.user_message) == (Status.FAILED, "no such data")
    assert site.published == [(Topic.ENDED, request.id)]


async def test_a_request_that_is_handed_back_is_queued_and_counts_as_no_failure(site: Site) -> None:
    request = await site.claimed()
    assert await site.outcomes.record(request, Outcome.handed_back())
    found = await site.store.get(request.id)
    assert found is not None
    assert (found.status, found.failures, found.worker) == (Status.QUEUED, 0, "")
    assert site.published == [(Topic.REQUEUED, request.id)]
    assert not site.tasks


async def test_requests_that_end_at_about_the_same_time_are_stored_as_metrics_together(site: Site) -> None:
    requests = [await site.claimed() for _ in range(3)]
    for request in requests:
        await site.outcomes.record(request, Outcome.succeeded(None))
    (task,) = site.tasks
    await task
    assert [metric.request_id for metric in site.stored] == [request.id for request in requests]


async def test_while_the_store_is_away_it_is_tried_again(site: Site) -> None:
    request = await site.claimed()
    site.store.failures = 3
    assert await site.outcomes.record(request, Outcome.succeeded(None))
    assert site.published == [(Topic.ENDED, request.id)]


async def test_an_outcome_that_was_recorded_without_an_answer_is_recognised(site: Site) -> None:
    request = await site.claimed()
    site.store.failures, site.store.silent = 1, True
    assert await site.outcomes.record(request, Outcome.succeeded(RESULT))
    assert site.published == [(Topic.ENDED, request.id)]


async def test_the_outcome_of_a_request_that_another_has_ended_is_dropped(site: Site) -> None:
    request = await site.claimed()
    await site.store.transition(
        *(request.id, Status.PROCESSING, request.attempt, Status.FAILED), user_message="lost"
    )
    site.store.failures = 1
    assert not await site.outcomes.record(request, Outcome.failed("too late"))
    found = await site.store.get(request.id)
    assert found is not None
    assert found.user_message == "lost"
    assert site.published == []
