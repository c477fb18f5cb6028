"""Hands queued requests to the queue: those just chosen, those whose pause has ended, those that it lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from polytope_server.broker.schedule import Schedule
from polytope_server.queue import Message, Queue
from polytope_server.request import Status
from polytope_server.request_store import RequestSummary


class Publication:
    """What a broker that leads puts into the queues. Raises what the queue raises.

    A queue holds `most_queued` messages at most. `clock` returns the time of the request store, by which
    pauses are set, in seconds since the epoch. `due` is called with the id of a request when its
    pause before a further attempt has ended.
    """

    def __init__(
        self,
        queue: Queue,
        queues: list[str],
        schedule: Schedule,
        most_queued: int,
        clock: Callable[[], float],
        due: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._queue = queue
        self._queues = queues
        self._schedule = schedule
        self._most_queued = most_queued
        self._due = due
        self._pausing: set[str] = set()

    def rooms(self) -> dict[str, int]:
        """How many more messages each queue may get.

        A queue is filled up when it is half empty: one transaction promotes many under load, while a lone
        request is promoted at once.
        """
        queued = {queue: self._schedule.count(Status.QUEUED, queue) for queue in self._queues}
        half = self._most_queued // 2
        return {queue: self._most_queued - count for queue, count in queued.items() if count <= half}

    async def publish(self, messages: list[Message]) -> None:
        """Publish messages, if there are any."""
        if messages:
            await self._queue.publish(messages)

    async def publish_when_due(self, summaries: list[RequestSummary]) -> None:
        """Publish queued requests; those that pause before a further attempt, after the pause."""
        now = self._clock()
        summaries = [summary for summary in summaries if self._schedule.knows_collection(summary.collection)]
        due = [summary for summary in summaries if summary.not_before <= now]
        await self.publish([Message(summary.id, self._schedule.queue_of(summary)) for summary in due])
        for summary in summaries:
            if summary.not_before > now and summary.id not in self._pausing:
                self._pausing.add(summary.id)
                asyncio.get_running_loop().call_later(summary.not_before - now, self._end_pause, summary.id)

    def _end_pause(self, request_id: str) -> None:
        self._pausing.discard(request_id)
        self._due(request_id)

    async def publish_lost(self, queued: list[RequestSummary]) -> None:
        """Publish the requests of each queue that holds too few messages; and see to those that pause.

        `queued` are all the requests that are queued.
        """
        now = self._clock()
        missing: list[RequestSummary] = []
        for queue in self._queues:
            own = [summary for summary in queued if self._queue_of(summary) == queue]
            due = [summary for summary in own if summary.not_before <= now]
            if len(due) > await self._queue.count(queue):
                missing += due
            missing += [summary for summary in own if summary.not_before > now]
        await self.publish_when_due(missing)

    def _queue_of(self, summary: RequestSummary) -> str | None:
        known = self._schedule.knows_collection(summary.collection)
        return self._schedule.queue_of(summary) if known else None
