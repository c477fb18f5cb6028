"""A queue on RabbitMQ, on quorum queues: what is published survives the loss of a server of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.queue import DEFAULT_QUEUE, Delivery, Message, Queue, QueueUnavailableError
from polytope_server.queue.rabbitmq.consumer import Consumer
from polytope_server.queue.rabbitmq.publisher import Publisher
from polytope_server.queue.rabbitmq.queues import Queues


class RabbitMQQueue(Queue):
    """Has a connection for each of its sides, because RabbitMQ holds up one that publishes too much."""

    Settings = RabbitMQSettings

    def __init__(self, settings: RabbitMQSettings, data: Path) -> None:
        self._settings = settings
        self._queues = Queues(settings.name)
        self._publisher: Publisher | None = None
        self._consumer: Consumer | None = None

    async def open_publisher(self) -> None:
        if self._publisher is None:
            self._publisher = Publisher(self._settings, self._queues)
        with self._publisher.link.failing_with(QueueUnavailableError):
            await self._publisher.link.open()

    async def publish(self, messages: list[Message]) -> None:
        if self._publisher is None:
            raise QueueUnavailableError("the queue is not open for publishing")
        with self._publisher.link.failing_with(QueueUnavailableError):
            await self._publisher.publish(messages)

    async def open_consumer(self, queues: list[str], deliver: Callable[[Delivery], None]) -> None:
        self._consumer = Consumer(self._settings, self._queues, queues, deliver)
        self._consumer.link.start()

    def grant(self, count: int) -> None:
        if self._consumer is not None:
            self._consumer.credit.grant(count)

    async def count(self, queue: str = DEFAULT_QUEUE) -> int:
        side = self._publisher or self._consumer
        if side is None:
            raise QueueUnavailableError("the queue is not open")
        with side.link.failing_with(QueueUnavailableError):
            return await self._queues.count(side.link.connection, queue)

    async def close(self) -> None:
        publisher, self._publisher = self._publisher, None
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()
        if publisher is not None:
            await publisher.link.close()
