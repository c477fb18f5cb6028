"""The workers' side of the queue on RabbitMQ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.drivers.rabbitmq.connection import Channel, Connection
from polytope_server.drivers.rabbitmq.link import Link
from polytope_server.queue import Delivery, Message
from polytope_server.queue.flow_control import Credit
from polytope_server.queue.rabbitmq.queues import Queues, decode

logger = logging.getLogger(__name__)

#: Seconds that a subscription whose message is answered waits for the worker to have room again. Until then
#: the server does not know of the answer: should the worker end, another gets the message, and drops it.
_PATIENCE = 0.2


class Consumer:
    """Receives as many messages as are granted.

    On the server a subscription is a consumer; all are on one channel, so that messages keep their order.
    """

    def __init__(
        self,
        settings: RabbitMQSettings,
        queues: Queues,
        names: list[str],
        deliver: Callable[[Delivery], None],
    ) -> None:
        self.link = Link(settings, "queue, consumer", self._prepare_channel, self._forget_channel)
        self.credit = Credit(names, _PATIENCE)
        self._queues = queues
        self._names = names
        self._deliver = deliver
        self._regulator: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop; what has been answered is made known to the server, and the rest goes back to it."""
        self._stop_regulator()
        self.credit.flush()
        await self.link.close()

    async def _prepare_channel(self, connection: Connection) -> None:
        for name in self._names:
            await self._queues.declare(connection, name)
        channel = await connection.lasting_channel()
        await channel.ask(channel.raw.basic_qos, prefetch_count=1)
        self._regulator = asyncio.create_task(self._regulate_credit(channel))

    def _forget_channel(self) -> None:
        self._stop_regulator()
        self.credit.reset()

    def _stop_regulator(self) -> None:
        if self._regulator is not None:
            self._regulator.cancel()
            self._regulator = None

    async def _regulate_credit(self, channel: Channel) -> None:
        with channel.connection.given_up_on_failure():
            receive = partial(self._receive_message, channel)
            await self.credit.regulate(_Subscriptions(channel, self._queues, receive))

    def _receive_message(self, channel: Channel, queue: str, method: Any, body: bytes) -> None:
        """Hand a message to the worker, if it has room, and set aside what is no message of this server."""
        message = decode(body, queue)
        if message is None:
            logger.warning("a message in the queue %s is none of this server's; it is set aside", queue)
            _send_answer(channel, partial(channel.raw.basic_reject, requeue=False), method.delivery_tag)
            return
        delivery = self._make_delivery(message, channel, method)
        if self.credit.take(method.consumer_tag):
            self._deliver(delivery)
        else:
            delivery.nack()

    def _make_delivery(self, message: Message, channel: Channel, method: Any) -> Delivery:
        def answer(how: Callable[[int], None], at_once: bool) -> None:
            send = partial(_send_answer, channel, how, method.delivery_tag)
            self.credit.answer(method.consumer_tag, send, at_once=at_once)

        return Delivery(
            message,
            ack=partial(answer, channel.raw.basic_ack, at_once=False),
            nack=partial(answer, channel.raw.basic_nack, at_once=True),
        )


class _Subscriptions:
    """The consumers on a channel."""

    def __init__(self, channel: Channel, queues: Queues, receive: Callable[[str, Any, bytes], None]) -> None:
        self._channel = channel
        self._queues = queues
        self._receive = receive

    async def subscribe(self, queue: str, tag: str) -> None:
        """Have the server send one message of a queue."""

        def receive(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._receive(queue, method, body)

        raw = self._channel.raw
        await self._channel.ask(raw.basic_consume, self._queues.named(queue), receive, consumer_tag=tag)

    async def unsubscribe(self, tag: str) -> None:
        """Have the server send no more by this subscription."""
        await self._channel.ask(self._channel.raw.basic_cancel, tag)


def _send_answer(channel: Channel, how: Callable[[int], None], delivery_tag: int) -> None:
    # With its channel a message has gone back, and is another's.
    if channel.raw.is_open:
        how(delivery_tag)
