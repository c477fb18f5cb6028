"""The broker: promotes waiting requests, hands them to the queue, and repairs what went wrong.

It is told of changes by notices; a sweep at intervals finds those whose notice was lost. It works in turns,
one after the other; a turn belongs to one term from its begin to its end.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from polytope_server.broker.expiry import Expiry
from polytope_server.broker.leadership import Leadership
from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.publication import Publication
from polytope_server.broker.reconciliation import SLICE, Reconciliation
from polytope_server.broker.removed_collections import RemovedCollections
from polytope_server.broker.schedule import Schedule
from polytope_server.collection import queues
from polytope_server.config import Configuration
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.queue import Message, Queue, QueueUnavailableError
from polytope_server.request import Status
from polytope_server.request_store import RequestStore, Sketch, StoreUnavailableError
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import opened, serve_until
from polytope_server.runtime.waiting import wait_at_most
from polytope_server.settings import create_backend

logger = logging.getLogger(__name__)

_PAUSE = 0.5
#: Seconds between promotions under load, so that several requests share one. The first is promoted at once.
_PROMOTION_INTERVAL = 0.02
#: Seconds of a turn for reading what waits.
_READING_TIME = 0.02
#: Seconds after which no store works on a statement any more.
_LONGEST_WRITE = 6.0


class Broker:
    """One broker process. Of several, one leads; the others wait to take over."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        settings = configuration.settings
        self._settings = settings.broker
        self._collections = configuration.collections
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._store: RequestStore = create_backend("request_store", settings.request_store, data)
        self._queue: Queue = create_backend("queue", settings.queue, data)
        self._notices: Notices = create_backend("notices", settings.notices, data)
        self._schedule = Schedule(self._collections)
        self._reconciliation = Reconciliation(self._schedule, self._store, self._admit)
        self._publication = Publication(
            *(self._queue, queues(self._collections.values()), self._schedule),
            most_queued=settings.deployment.worker.replicas,
            clock=self._store.local_clock.now,
            due=self._requeued,
        )
        #: The term that this broker works in.
        self._term: int | None = None
        #: Whether all requests are known that count for the limits: not at the begin of a term, nor after a
        #: promotion without an answer, which may take place until `_settled`.
        self._knows_active = False
        self._settled = 0.0
        self._promoting = asyncio.Lock()
        self._stop = asyncio.Event()
        self._next_sweep = 0.0
        self._next_promotion = 0.0
        self._publishing = False
        self._wake = asyncio.Event()
        self.metrics = BrokerMetrics(self._collections)
        self._removed_collections = RemovedCollections(
            *(self._store, self._notices, self.metrics, self._schedule.knows_collection)
        )
        self._expiry = Expiry(
            *(self._store, self._notices, self.metrics, settings.worker),
            requeued=self._requeued,
            failed=self._schedule.remove,
        )
        self._leadership = Leadership(
            lambda: create_backend("request_store", settings.request_store, data),
            *(self._name, self._settings.lease, self._wake_up, self._expiry.answered),
        )
        self.health = Health(
            {"request_store": Check(self._store.check), "queue": Check(self._check_queue)},
        )
        #: What notices told since the last turn.
        self._news: dict[Topic, set[str]] = {topic: set() for topic in Topic}

    async def serve(self, stop: asyncio.Event) -> None:
        """Lead, or wait to, until `stop` is set."""
        self._stop = stop
        async with opened((self._store, self._notices), stop) as ready:
            if not ready:
                return
            await self._notices.subscribe(set(Topic), self._on_notice)
            self.health.started = True
            self._leadership.start()
            leading = asyncio.create_task(self._leadership.ended())
            working = asyncio.create_task(self._work())
            try:
                await serve_until(self._stopped(), leading, working)
            finally:
                await self._queue.close()
                # While a promotion may still take place, nobody else may lead.
                await self._leadership.stop(resign=time.monotonic() >= self._settled)

    async def _stopped(self) -> None:
        """Return when this process is to stop, and no promotion is under way."""
        await self._stop.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lease), self._promoting:
                pass

    async def _check_queue(self) -> None:
        # A broker that waits for its turn has not opened it, and is ready to lead.
        if self._term is not None:
            await self._queue.check()

    def _on_notice(self, notice: Notice) -> None:
        if self._term is not None:
            self._news[notice.topic].add(notice.request_id)
            self._wake.set()

    def _requeued(self, request_id: str) -> None:
        self._news[Topic.REQUEUED].add(request_id)
        self._wake.set()

    def _wake_up(self) -> None:
        self._wake.set()

    # -- turns -----------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            await self._rest()
            self._leadership.progress()
            if (term := self._leadership.term) != self._term:
                await self._change_term(term)
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
                    self._expiry.answered(math.inf)
                await asyncio.sleep(_PAUSE)

    async def _rest(self) -> None:
        """Wait for something to do."""
        if self._term is None or not self._reconciliation.running:
            await wait_at_most(self._settings.lease / 3, self._wake)
            await asyncio.sleep(self._next_promotion - time.monotonic())
        self._wake.clear()

    async def _change_term(self, term: int | None) -> None:
        """Begin a term, or end one. What is known to wait is kept: it is compared with the store first."""
        self._term = None
        self.metrics.leads(None)
        self._publishing = False
        self._knows_active = False
        self._news = {topic: set() for topic in Topic}
        await self._queue.close()
        if term is None:
            logger.warning("this broker has lost its lead")
            return
        logger.info("this broker leads, term %d", term)
        self._expiry.hold()
        self.metrics.leads(self._schedule)
        self._next_sweep = 0.0
        self._reconciliation.start()
        self._term = term

    async def _turn(self, term: int) -> None:
        """Take note of what happened, repair what is due, and promote what may run."""
        if not self._publishing:
            await self._queue.open_publisher()
            self._publishing = True
        await self._read_news()
        await self._sweep_if_due()
        await self._reconcile()
        if self._knows_active and (chosen := self._schedule.choose(self._publication.rooms())):
            self._next_promotion = time.monotonic() + _PROMOTION_INTERVAL
            await self._promote(chosen, term)
        if await self._removed_collections.fail_some():
            self._wake.set()
        await self._expiry.run()

    async def _promote(self, chosen: dict[str, str], term: int) -> None:
        async with self._promoting:
            if self._stop.is_set():
                return
            self._knows_active = False
            try:
                promoted = await self._store.promote(list(chosen), self._name, term)
            except BaseException:
                self._settled = math.inf
                raise
            self._knows_active = True
        for request_id in chosen:
            if request_id not in promoted:  # revoked meanwhile, or this broker no longer leads
                self._schedule.remove(request_id)
                self._news[Topic.WAITING].add(request_id)
        await self._publication.publish(
            [Message(key, queue) for key, queue in chosen.items() if key in promoted]
        )

    async def _read_news(self) -> None:
        news, self._news = self._news, {topic: set() for topic in Topic}
        try:
            await self._take_note(news)
        except (StoreUnavailableError, QueueUnavailableError):  # these notices do not come again
            self._news = {topic: news[topic] | self._news[topic] for topic in Topic}
            raise

    async def _take_note(self, news: dict[Topic, set[str]]) -> None:
        for request_id in news[Topic.CLAIMED]:
            self._schedule.claimed(request_id)
        for ids in _slices(list(news[Topic.ENDED] | news[Topic.REMOVED])):
            for request_id in ids:
                self._schedule.remove(request_id)
                self._removed_collections.forget(request_id)
            await asyncio.sleep(0)  # a user may have revoked a hundred thousand
        # What a notice says may be overtaken by a later change: the store tells how things are.
        submitted = sorted(news[Topic.WAITING] - news[Topic.REMOVED])
        for ids in _slices(submitted):
            self._admit(await self._store.sketches([Status.WAITING], ids))
            self._leadership.progress()
        for ids in _slices(sorted(news[Topic.REQUEUED])):
            sketches = await self._store.sketches([Status.QUEUED], ids)
            self._schedule.update(sketches)
            await self._publication.publish_when_due(sketches)
            self._leadership.progress()

    def _admit(self, sketches: list[Sketch]) -> None:
        """Take note of waiting requests; those whose collection is gone are to fail, and harm nobody else."""
        self._schedule.update(sketches)
        self._removed_collections.note(sketches)

    # -- repairing -------------------------------------------------------------------------------------

    async def _sweep_if_due(self) -> None:
        if self._settled == math.inf:
            # The store may have stood still with the promotion in its hands, and do it when it goes on.
            await self._store.check()
            self._settled = time.monotonic() + max(self._settings.lease, _LONGEST_WRITE)
        now = time.monotonic()
        settled = now >= self._settled
        if now >= self._next_sweep or (settled and not self._knows_active):
            await self._sweep()
            self._next_sweep = time.monotonic() + self._settings.interval
            self._knows_active = settled

    async def _sweep(self) -> None:
        """Bring what is active up to date with the store, and publish again what the queue has lost."""
        active = await self._read_active()
        self._schedule.retain_active({sketch.id for sketch in active})
        self._schedule.update(active)
        if not self._reconciliation.running:
            self._reconciliation.start()
        queued = [sketch for sketch in active if sketch.status is Status.QUEUED]
        self._removed_collections.note(queued)
        await self._publication.publish_lost(queued)

    async def _read_active(self) -> list[Sketch]:
        active: list[Sketch] = []
        while found := await self._store.active(active[-1].sequence if active else 0, SLICE):
            active += found
            self._leadership.progress()
            await asyncio.sleep(0)  # a store in this process may not have waited for anything
        return active

    async def _reconcile(self) -> None:
        """Read and compare what waits, for as long as a turn has time for it."""
        until = time.monotonic() + _READING_TIME
        while self._reconciliation.running:
            await self._reconciliation.step()
            self._leadership.progress()
            if time.monotonic() >= until:
                break


def _slices(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + SLICE] for start in range(0, len(ids), SLICE))
