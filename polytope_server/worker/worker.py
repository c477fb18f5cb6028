"""The worker: claims requests, has them done by its child processes, and puts the results into staging."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from polytope_server.collection import Collection, queues
from polytope_server.metric_store import MetricStore
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.queue import Delivery, Queue
from polytope_server.request import TERMINAL, Request, Upload
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.runtime import log
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import opened, serve_until
from polytope_server.secrets.sealing import Seals
from polytope_server.settings import Settings
from polytope_server.staging import Staging, StagingUnavailableError
from polytope_server.worker.attempt import Attempts
from polytope_server.worker.children import Children, Slot
from polytope_server.worker.claims import Claims
from polytope_server.worker.leases import Claim, Leases
from polytope_server.worker.metrics import WorkerMetrics
from polytope_server.worker.outcome import Outcome, Outcomes
from polytope_server.worker.question_children import QuestionChildren
from polytope_server.worker.questions import Questions
from polytope_server.worker.report import Report

logger = logging.getLogger(__name__)

#: Seconds after which a claim is published, unless the request has ended.
_NOTICE_DELAY = 0.1
#: Seconds to hand a request back when this worker ends.
_HAND_BACK_TIME = 5.0


@dataclass(frozen=True)
class Parts:
    """What a worker works with; back-ends are not opened yet, children not started."""

    store: RequestStore
    queue: Queue
    notices: Notices
    staging: Staging
    metric_store: MetricStore
    children: Children
    #: Opens what users of some data sources have given; None if no data source needs that.
    seals: Seals | None = None
    #: Answer questions of frontends; None if this worker answers none.
    question_children: QuestionChildren | None = None


class Worker:
    """One worker process: `worker.concurrency` requests at a time, each in a warm child process."""

    def __init__(self, settings: Settings, collections: Mapping[str, Collection], parts: Parts) -> None:
        self._settings = settings.worker
        self._queues = settings.worker.queues or queues(collections.values())
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._store, self._queue, self._notices = parts.store, parts.queue, parts.notices
        self._staging, self._metric_store = parts.staging, parts.metric_store
        self._children = parts.children
        #: What this worker works on.
        self.claims = Claims()
        self._attempts = Attempts(
            *(settings.worker, collections, parts.seals, parts.staging), now=parts.store.local_clock.now
        )
        self._leases = Leases(
            *(self._store, self._name, settings.worker.lease),
            running=self.claims.all,
            lost=self._on_lost,
            given_back=lambda request_id: self._notices.publish(Topic.REQUEUED, request_id),
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Whether it takes messages; it closes the queue when it is to stop.
        self._consumes = True
        self.metrics = WorkerMetrics(
            settings.metrics, collections, lambda: self._children.slots(len(self.claims))
        )
        self.health = Health(
            {
                "request_store": Check(self._store.check),
                "queue": Check(self._check_queue),
                "staging": Check(self._staging.check),
                "metric_store": Check(self._metric_store.check, needed=False),
            }
        )
        self._outcomes = Outcomes(
            self._store, self._notices, self._metric_store, self.metrics, self._spawn_task
        )
        self._questions: Questions | None = None
        if parts.question_children is not None:
            self._questions = Questions(
                *(collections, self._queues, parts.question_children, self._notices, self.metrics)
            )

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish, or give back, what is running."""
        parts = (self._store, self._notices, self._staging, self._metric_store)
        async with opened(parts, stop) as ready:
            if not ready:
                return
            topics = {Topic.REMOVED} if self._questions is None else {Topic.REMOVED, Topic.QUESTION}
            await self._notices.subscribe(topics, self._on_notice)
            await self._queue.open_consumer(self._queues, self._on_delivery)
            self._children.start(ready=lambda: self._queue.grant(1))
            self.health.started = True
            if self._questions is not None:
                self._questions.responder.start()
            logger.info("worker %s is ready, for the queues %s", self._name, ", ".join(self._queues))
            # Leases are renewed to the end, for the requests that may still finish.
            await serve_until(self._drain(stop), asyncio.create_task(self._leases.keep()))
            await self._children.close()

    async def _drain(self, stop: asyncio.Event) -> None:
        """Wait for `stop`, let requests end for `worker.grace` seconds, then give them back."""
        await stop.wait()
        self._consumes = False
        await self._queue.close()
        self._children.retire()
        if self._questions is not None:
            await self._questions.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _check_queue(self) -> None:
        if self._consumes:
            await self._queue.check()

    # -- claims and leases -----------------------------------------------------------------------------

    def _on_delivery(self, delivery: Delivery) -> None:
        self._spawn_task(self._take_delivery(delivery))

    def _spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_delivery(self, delivery: Delivery) -> None:
        """Claim a delivered request and work on it, unless it is gone or taken."""
        request_id = delivery.message.request_id
        try:
            request = await self._leases.claim(request_id)
        except StoreUnavailableError:
            delivery.nack()
            self._queue.grant(1)
            return
        # The claim is durable: from now on the lease, not the queue, guards the request.
        delivery.ack()
        # Of two messages about one request, each may find the same claim.
        if request is None or (claim := (request_id, request.attempt)) in self.claims:
            self._queue.grant(1)
            return
        self.claims.abort(request_id)  # an earlier attempt, of which only the store knows yet that it is lost
        asyncio.get_running_loop().call_later(_NOTICE_DELAY, self._publish_claim, claim)
        log.request_id.set(request_id)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine runs in a task
        self.claims.begin(claim, task)
        try:
            await self._work_on(request)
        finally:
            self.claims.end(claim)

    def _publish_claim(self, claim: Claim) -> None:
        if self.claims.is_working(claim):
            self._notices.publish(Topic.CLAIMED, claim[0])

    def _on_notice(self, notice: Notice) -> None:
        if notice.topic is Topic.REMOVED:
            self.claims.abort(notice.request_id)
        elif self._questions is not None:
            self._questions.responder.receive(notice)

    def _on_lost(self, claim: Claim) -> None:
        if self.claims.is_working(claim):
            self.metrics.leases_lost.inc()
            self.claims.abort(claim[0])

    # -- one attempt -----------------------------------------------------------------------------------

    async def _work_on(self, request: Request) -> None:
        """Try a request once, and record the outcome, if it is still this worker's to record."""
        async with self._children.slot() as slot:
            try:
                await self._record_outcome(request, await self._attempt(request, slot))
            except asyncio.CancelledError:
                await self._end_cancelled(request)
            except Exception:
                logger.exception("an attempt failed unexpectedly")
                await self._record_outcome(
                    request, self._attempts.failed(request, "An internal error occurred.")
                )

    async def _attempt(self, request: Request, slot: Slot) -> Outcome:
        report = Report(self._store, request)
        try:
            return await self._attempts.run(request, slot, report)
        finally:
            await report.close()

    async def _end_cancelled(self, request: Request) -> None:
        """Hand back a request whose attempt was cancelled because this worker ends."""
        if self.claims.is_lost((request.id, request.attempt)):
            self.metrics.overtaken(request)
            return
        # A store that cannot be reached must not keep this process: the lease ends by itself.
        with suppress(TimeoutError):
            async with asyncio.timeout(_HAND_BACK_TIME):
                await self._record_outcome(request, Outcome.handed_back())

    async def _record_outcome(self, request: Request, outcome: Outcome) -> None:
        """Record the outcome, unless the request was lost, and remove what is of no use after it."""
        self.claims.mark_ending((request.id, request.attempt))
        recorded = await self._outcomes.record(request, outcome)
        if not recorded and outcome.result is not None:
            await self._discard(outcome.result.name)
        if recorded and outcome.to in TERMINAL and isinstance(request.input, Upload):
            # The input of an archive is not needed any more, and takes the room of results.
            await self._discard(request.input.name)

    async def _discard(self, name: str) -> None:
        """Remove an object that is not needed any more; if that fails, the garbage collector does."""
        with suppress(StagingUnavailableError):
            await self._staging.delete(name)
