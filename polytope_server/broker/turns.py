"""The work of a broker that leads: in turns, one after the other, each of which belongs to one term."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping

from polytope_server.broker.expiry import Expiry
from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.news import News
from polytope_server.broker.parts import Parts
from polytope_server.broker.promotion import Promotion
from polytope_server.broker.publication import Publication
from polytope_server.broker.reconciliation import SLICE, Reconciliation
from polytope_server.broker.removed_collections import RemovedCollections
from polytope_server.broker.schedule import Schedule
from polytope_server.collection import Collection, queues
from polytope_server.notices import Topic
from polytope_server.queue import Message, QueueUnavailableError
from polytope_server.request import Status
from polytope_server.request_store import RequestSummary, StoreUnavailableError
from polytope_server.runtime.waiting import wait_at_most
from polytope_server.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between promotions under load, so that several requests share one. The first is promoted at once.
_PROMOTION_INTERVAL = 0.02
#: Seconds of a turn for reading what waits.
_READING_TIME = 0.02


class Turns:
    """Promotes waiting requests, hands them to the queue, and repairs what went wrong.

    It learns of changes by notices; a sweep at intervals finds those whose notice was lost.
    """

    def __init__(
        self,
        settings: Settings,
        collections: Mapping[str, Collection],
        parts: Parts,
        metrics: BrokerMetrics,
    ) -> None:
        self._settings = settings.broker
        self._store, self._queue, self._clock = parts.store, parts.queue, parts.clock
        self._progress = parts.leadership.progress
        self._metrics = metrics
        self.schedule = Schedule(collections)
        self.promotion = Promotion(parts.store, parts.name, settings.broker.lease, parts.clock)
        self._reconciliation = Reconciliation(self.schedule, parts.store, self._admit)
        self._publication = Publication(
            *(parts.queue, queues(collections.values()), self.schedule),
            most_queued=settings.deployment.worker.replicas,
            clock=parts.store.local_clock.now,
            due=self._on_requeued,
        )
        self._removed_collections = RemovedCollections(
            *(parts.store, parts.notices, metrics, self.schedule.knows_collection)
        )
        self._expiry = Expiry(
            *(parts.store, parts.notices, metrics, settings.worker),
            requeued=self._on_requeued,
            failed=self.schedule.remove,
        )
        #: The term that this broker works in, None while it does not lead.
        self.term: int | None = None
        #: Whether all requests are known that count for the limits: not at the begin of a term, nor after a
        #: promotion without an answer, until that has settled.
        self.knows_active = False
        self._news = News()
        self._next_sweep = 0.0
        self._next_promotion = 0.0
        self._publishing = False
        self._wake = asyncio.Event()

    def wake_up(self) -> None:
        """Take the next turn at once."""
        self._wake.set()

    def note(self, topic: Topic, request_id: str) -> None:
        """Take note of a notice in the next turn."""
        self._news.add(topic, request_id)
        self._wake.set()

    def store_answered(self, seconds: float) -> None:
        """The store took this long for a call, infinity for one that failed."""
        self._expiry.answered(seconds)

    def _on_requeued(self, request_id: str) -> None:
        self.note(Topic.REQUEUED, request_id)

    async def rest(self) -> None:
        """Wait until there is something to do."""
        if self.term is None or not self._reconciliation.running:
            await wait_at_most(self._settings.lease / 3, self._wake)
            await asyncio.sleep(self._next_promotion - self._clock())
        self._wake.clear()

    async def change_term(self, term: int | None) -> None:
        """Begin a term, or end one. What is known to wait is kept: it is compared with the store first."""
        self.term = None
        self._metrics.leads(None)
        self._publishing = False
        self.knows_active = False
        self._news.take()
        await self._queue.close()
        if term is None:
            logger.warning("lost leadership")
            return
        logger.info("this broker leads, term %d", term)
        self._expiry.hold()
        self._metrics.leads(self.schedule)
        self._next_sweep = 0.0
        self._reconciliation.start()
        self.term = term

    async def take(self, term: int) -> None:
        """Take one turn: take note of what happened, repair what is due, and promote what may run.

        Raises StoreUnavailableError and QueueUnavailableError; then :meth:`recover` comes before the next.
        """
        if not self._publishing:
            await self._queue.open_publisher()
            self._publishing = True
        await self.read_news()
        await self._sweep_if_due()
        await self._reconcile()
        if self.knows_active and (chosen := self.schedule.choose(self._publication.rooms())):
            self._next_promotion = self._clock() + _PROMOTION_INTERVAL
            await self._promote(chosen, term)
        if await self._removed_collections.fail_some():
            self._wake.set()
        await self._expiry.run()

    def recover(self, error: StoreUnavailableError | QueueUnavailableError) -> None:
        """Have the next turn repair what a turn that failed has left."""
        self._next_sweep = 0.0
        if isinstance(error, QueueUnavailableError):
            self._publishing = False
        else:
            self._expiry.answered(math.inf)

    async def _promote(self, chosen: dict[str, str], term: int) -> None:
        self.knows_active = False
        promoted = await self.promotion.promote(list(chosen), term)
        if promoted is None:
            return
        self.knows_active = True
        for request_id in chosen:
            if request_id not in promoted:  # revoked meanwhile, or this broker no longer leads
                self.schedule.remove(request_id)
                self._news.add(Topic.WAITING, request_id)
        await self._publication.publish(
            [Message(key, queue) for key, queue in chosen.items() if key in promoted]
        )

    async def read_news(self) -> None:
        """Bring the schedule up to date with what notices have said."""
        news = self._news.take()
        try:
            await self._take_note(news)
        except (StoreUnavailableError, QueueUnavailableError):
            self._news.put_back(news)
            raise

    async def _take_note(self, news: dict[Topic, set[str]]) -> None:
        for request_id in news[Topic.CLAIMED]:
            self.schedule.claimed(request_id)
        for ids in _slices(list(news[Topic.ENDED] | news[Topic.REMOVED])):
            for request_id in ids:
                self.schedule.remove(request_id)
                self._removed_collections.forget(request_id)
            await asyncio.sleep(0)  # a user may have revoked a hundred thousand
        # What a notice says may be overtaken by a later change: the state is read from the store.
        submitted = sorted(news[Topic.WAITING] - news[Topic.REMOVED])
        for ids in _slices(submitted):
            self._admit(await self._store.summaries([Status.WAITING], ids))
            self._progress()
        for ids in _slices(sorted(news[Topic.REQUEUED])):
            summaries = await self._store.summaries([Status.QUEUED], ids)
            self.schedule.update(summaries)
            await self._publication.publish_when_due(summaries)
            self._progress()

    def _admit(self, summaries: list[RequestSummary]) -> None:
        """Take note of waiting requests; those whose collection is gone are to fail."""
        self.schedule.update(summaries)
        self._removed_collections.note(summaries)

    # -- repairing -------------------------------------------------------------------------------------

    async def _sweep_if_due(self) -> None:
        await self.promotion.settle()
        settled = self.promotion.settled
        if self._clock() >= self._next_sweep or (settled and not self.knows_active):
            await self._sweep()
            self._next_sweep = self._clock() + self._settings.interval
            self.knows_active = settled

    async def _sweep(self) -> None:
        """Bring what is active up to date with the store, and publish again what the queue has lost."""
        active = await self._read_active()
        self.schedule.retain_active({summary.id for summary in active})
        self.schedule.update(active)
        if not self._reconciliation.running:
            self._reconciliation.start()
        queued = [summary for summary in active if summary.status is Status.QUEUED]
        self._removed_collections.note(queued)
        await self._publication.publish_lost(queued)

    async def _read_active(self) -> list[RequestSummary]:
        active: list[RequestSummary] = []
        while found := await self._store.active(active[-1].sequence if active else 0, SLICE):
            active += found
            self._progress()
            await asyncio.sleep(0)  # a store in this process may not have waited for anything
        return active

    async def _reconcile(self) -> None:
        """Read and compare what waits, for as long as a turn has time for it."""
        until = self._clock() + _READING_TIME
        while self._reconciliation.running:
            await self._reconciliation.step()
            self._progress()
            if self._clock() >= until:
                break


def _slices(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + SLICE] for start in range(0, len(ids), SLICE))
