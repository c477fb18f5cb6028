"""The broker: promotes waiting requests, hands them to the queue, and repairs what went wrong.

It is told of changes by notices; a sweep at intervals finds those whose notice was lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from polytope_server.broker.expiry import Expiry
from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.schedule import Schedule
from polytope_server.collection import queues
from polytope_server.config import Configuration, create_backend
from polytope_server.management.health import Check, Health
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.process import opened, serve_until
from polytope_server.queue import Message, Queue, QueueUnavailableError
from polytope_server.request import Status
from polytope_server.request_store import RequestStore, Sketch, StoreUnavailableError

logger = logging.getLogger(__name__)

_LIVE = (Status.WAITING, Status.QUEUED, Status.PROCESSING)
_PAUSE = 0.5
#: Seconds between promotions under load, so that several requests share one. The first is promoted at once.
_PROMOTION_INTERVAL = 0.02


class Broker:
    """One broker process. Of several, one leads; the others wait to take over."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        settings = configuration.settings
        self._settings = settings.broker
        self._most_queued = settings.deployment.worker.replicas
        self._collections = configuration.collections
        self._queues = queues(self._collections.values())
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._store: RequestStore = create_backend("request_store", settings.request_store, data)
        self._queue: Queue = create_backend("queue", settings.queue, data)
        self._notices: Notices = create_backend("notices", settings.notices, data)
        self._schedule = Schedule(self._collections)
        self._term: int | None = None
        self._lead_until = 0.0
        self._next_sweep = 0.0
        self._next_promotion = 0.0
        self._publishing = False
        self._wake = asyncio.Event()
        self._pausing: set[str] = set()
        self.metrics = BrokerMetrics(self._collections)
        self._expiry = Expiry(
            *(self._store, self._notices, self.metrics, settings.worker),
            requeued=self._on_requeued,
            failed=lambda request_id: self._schedule.remove(request_id),
        )
        self.health = Health(
            {"request_store": Check(self._store.check), "queue": Check(self._check_queue)},
        )
        #: What notices told since the last turn.
        self._news: dict[Topic, set[str]] = {topic: set() for topic in Topic}

    async def serve(self, stop: asyncio.Event) -> None:
        """Lead, or wait to, until `stop` is set."""
        async with opened((self._store, self._notices), stop) as ready:
            if not ready:
                return
            await self._notices.subscribe(set(Topic), self._on_notice)
            self.health.started = True
            renewing = asyncio.create_task(self._keep_lead())
            working = asyncio.create_task(self._work())
            await serve_until(stop.wait(), renewing, working)
            await self._queue.close()
            if self._term is not None:
                with suppress(StoreUnavailableError):  # the lease then ends by itself
                    await self._store.resign("broker", self._name)

    async def _check_queue(self) -> None:
        # A broker that waits for its turn has not opened it, and is ready to lead.
        if self._term is not None:
            await self._queue.check()

    def _on_notice(self, notice: Notice) -> None:
        if self._term is not None:
            self._news[notice.topic].add(notice.request_id)
            self._wake.set()

    # -- leading ---------------------------------------------------------------------------------------

    async def _keep_lead(self) -> None:
        """Take the lead when it is free, and renew it three times within its time."""
        while True:
            asked = time.monotonic()
            try:
                term = await self._store.lead("broker", self._name, self._settings.lease)
                self._expiry.answered(time.monotonic() - asked)
                if term is not None:
                    self._lead_until = asked + self._settings.lease
                if term != self._term:
                    await self._change_lead(term)
            except (StoreUnavailableError, OSError) as error:
                logger.warning("cannot renew the lead: %s", error)
                self._expiry.hold()
                if self._term is not None and time.monotonic() > self._lead_until:
                    await self._change_lead(None)
            await asyncio.sleep(self._settings.lease / 3)

    async def _change_lead(self, term: int | None) -> None:
        self._term = None
        self.metrics.leads(None)
        self._publishing = False
        await self._queue.close()
        if term is not None:
            logger.info("this broker leads, term %d", term)
            self._expiry.hold()
            self._schedule = Schedule(self._collections)
            self.metrics.leads(self._schedule)
            self._next_sweep = 0.0
        else:
            logger.warning("this broker has lost its lead")
        self._term = term
        self._wake.set()

    # -- working ---------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            # Not wait_for(): before Python 3.12 that may swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease / 3):
                    await self._wake.wait()
            await asyncio.sleep(self._next_promotion - time.monotonic())
            self._wake.clear()
            if self._term is None:
                continue
            try:
                await self._turn(self._term)
            except (StoreUnavailableError, QueueUnavailableError) as error:
                logger.warning("%s; trying again", error)
                self._next_sweep = 0.0
                if isinstance(error, QueueUnavailableError):
                    self._publishing = False
                else:
                    self._expiry.hold()
                await asyncio.sleep(_PAUSE)

    async def _turn(self, term: int) -> None:
        """Take note of what happened, repair what is due, and promote what may run."""
        if not self._publishing:
            await self._queue.open_publisher()
            self._publishing = True
        await self._read_news()
        if time.monotonic() >= self._next_sweep:
            await self._sweep()
            self._next_sweep = time.monotonic() + self._settings.interval
        if chosen := self._schedule.choose(self._rooms()):
            self._next_promotion = time.monotonic() + _PROMOTION_INTERVAL
            await self._promote(chosen, term)
        await self._expiry.run()

    def _rooms(self) -> dict[str, int]:
        """How many more messages each queue may get.

        A queue is filled up when it is half empty: one transaction promotes many under load, while a lone
        request is promoted at once.
        """
        queued = {queue: self._schedule.count(Status.QUEUED, queue) for queue in self._queues}
        half = self._most_queued // 2
        return {queue: self._most_queued - count for queue, count in queued.items() if count <= half}

    async def _promote(self, chosen: dict[str, str], term: int) -> None:
        promoted = await self._store.promote(list(chosen), self._name, term)
        for request_id in chosen:
            if request_id not in promoted:  # revoked meanwhile, or this broker no longer leads
                self._schedule.remove(request_id)
        await self._publish([Message(key, queue) for key, queue in chosen.items() if key in promoted])

    async def _publish(self, messages: list[Message]) -> None:
        if messages:
            await self._queue.publish(messages)

    async def _read_news(self) -> None:
        news, self._news = self._news, {topic: set() for topic in Topic}
        for request_id in news[Topic.CLAIMED]:
            self._schedule.claimed(request_id)
        for request_id in news[Topic.ENDED] | news[Topic.REMOVED]:
            self._schedule.remove(request_id)
        # What a notice says may be overtaken by a later change: the store tells how things are.
        if submitted := news[Topic.WAITING] - news[Topic.REMOVED]:
            await self._admit(await self._store.sketches([Status.WAITING], sorted(submitted)))
        if requeued := news[Topic.REQUEUED]:
            sketches = await self._store.sketches([Status.QUEUED], sorted(requeued))
            self._schedule.update(sketches)
            await self._publish_when_due(sketches)

    async def _admit(self, sketches: list[Sketch]) -> None:
        """Take note of waiting requests; those whose collection is gone fail, and harm nobody else."""
        self._schedule.update(sketches)
        for sketch in sketches:
            if not self._schedule.knows_collection(sketch.collection):
                message = f"The collection {sketch.collection} is no longer available."
                failed = await self._store.transition(
                    sketch.id, sketch.status, sketch.attempt, Status.FAILED, user_message=message
                )
                if failed is not None:
                    self.metrics.failed(sketch.collection)
                self._notices.publish(Topic.ENDED, sketch.id)

    async def _publish_when_due(self, sketches: list[Sketch]) -> None:
        """Publish queued requests; those that pause before a further attempt, after the pause."""
        now = self._store.local_clock.now()
        sketches = [sketch for sketch in sketches if self._schedule.knows_collection(sketch.collection)]
        due = [sketch for sketch in sketches if sketch.not_before <= now]
        await self._publish([Message(sketch.id, self._schedule.queue_of(sketch)) for sketch in due])
        for sketch in sketches:
            if sketch.not_before > now and sketch.id not in self._pausing:
                self._pausing.add(sketch.id)
                asyncio.get_running_loop().call_later(sketch.not_before - now, self._due, sketch.id)

    def _due(self, request_id: str) -> None:
        self._pausing.discard(request_id)
        self._on_requeued(request_id)

    def _on_requeued(self, request_id: str) -> None:
        self._news[Topic.REQUEUED].add(request_id)
        self._wake.set()

    # -- repairing -------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Bring the schedule up to date with the store, and publish again what the queue has lost."""
        active = await self._store.sketches([Status.QUEUED, Status.PROCESSING])
        for status in (Status.QUEUED, Status.PROCESSING):
            self._schedule.retain({sketch.id for sketch in active if sketch.status is status}, status)
        self._schedule.update(active)
        stored = await self._store.count(statuses=[Status.WAITING])
        if stored != self._schedule.count(Status.WAITING):
            waiting = await self._store.sketches([Status.WAITING])
            self._schedule.retain({sketch.id for sketch in waiting}, Status.WAITING)
            await self._admit(waiting)
        await self._publish_lost([sketch for sketch in active if sketch.status is Status.QUEUED])

    async def _publish_lost(self, queued: list[Sketch]) -> None:
        """Publish the requests of each queue that holds too few messages; and see to those that pause."""
        now = self._store.local_clock.now()
        missing: list[Sketch] = []
        for queue in self._queues:
            own = [sketch for sketch in queued if self._queue_of(sketch) == queue]
            due = [sketch for sketch in own if sketch.not_before <= now]
            if len(due) > await self._queue.count(queue):
                missing += due
            missing += [sketch for sketch in own if sketch.not_before > now]
        await self._publish_when_due(missing)

    def _queue_of(self, sketch: Sketch) -> str | None:
        known = self._schedule.knows_collection(sketch.collection)
        return self._schedule.queue_of(sketch) if known else None
