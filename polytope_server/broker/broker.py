"""The broker process: leads, or waits to take over, and works in turns for as long as it leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.parts import Parts
from polytope_server.broker.turns import Turns
from polytope_server.collection import Collection
from polytope_server.notices import ABOUT_REQUESTS, Notice
from polytope_server.queue import QueueUnavailableError
from polytope_server.request_store import StoreUnavailableError
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import opened, serve_until
from polytope_server.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between a turn that failed and the next one.
_PAUSE = 0.5


class Broker:
    """One broker process. Of several, one leads; the others wait to take over."""

    def __init__(self, settings: Settings, collections: Mapping[str, Collection], parts: Parts) -> None:
        self._store, self._queue, self._notices = parts.store, parts.queue, parts.notices
        self._leadership = parts.leadership
        self.metrics = BrokerMetrics(collections)
        self.turns = Turns(settings, collections, parts, self.metrics)
        self.health = Health(
            {"request_store": Check(self._store.check), "queue": Check(self._check_queue)},
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Lead, or wait to, until `stop` is set."""
        async with opened((self._store, self._notices), stop) as ready:
            if not ready:
                return
            await self._notices.subscribe(set(ABOUT_REQUESTS), self._on_notice)
            self.health.started = True
            self._leadership.start(self.turns.wake_up, self.turns.store_answered)
            leading = asyncio.create_task(self._leadership.ended())
            working = asyncio.create_task(self._work_in_turns())
            try:
                await serve_until(self._wait_for_stop(stop), leading, working)
            finally:
                await self._queue.close()
                # While a promotion may still take place, no other broker may lead.
                await self._leadership.stop(resign=self.turns.promotion.settled)

    async def _wait_for_stop(self, stop: asyncio.Event) -> None:
        """Return when this process is to stop, and no promotion is under way."""
        await stop.wait()
        await self.turns.promotion.stop()

    async def _check_queue(self) -> None:
        # A broker that waits for its turn has not opened it, and is ready to lead.
        if self.turns.term is not None:
            await self._queue.check()

    def _on_notice(self, notice: Notice) -> None:
        if self.turns.term is not None:
            self.turns.note(notice.topic, notice.request_id)

    async def _work_in_turns(self) -> None:
        while True:
            await self.turns.rest()
            self._leadership.progress()
            if (term := self._leadership.term) != self.turns.term:
                await self.turns.change_term(term)
            if self.turns.term is not None:
                await self._take_turn(self.turns.term)

    async def _take_turn(self, term: int) -> None:
        try:
            await self.turns.take(term)
        except (StoreUnavailableError, QueueUnavailableError) as error:
            logger.warning("%s; trying again", error)
            self.turns.recover(error)
            await asyncio.sleep(_PAUSE)
