"""The broker's side of the queue on RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import Any

from pika import BasicProperties
from pika.spec import Basic

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.drivers.rabbitmq.connection import Channel, Connection
from polytope_server.drivers.rabbitmq.errors import RabbitMQUnavailableError
from polytope_server.drivers.rabbitmq.link import Link
from polytope_server.queue import DEFAULT_QUEUE, Message
from polytope_server.queue.rabbitmq.queues import Queues, encode

#: Messages that go out before the first of them must be confirmed, and seconds for that.
_BATCH, _CONFIRM_TIME = 500, 5.0
_PERSISTENT = 2


class Publisher:
    """Publishes messages, and waits until the server has them on disk."""

    def __init__(self, settings: RabbitMQSettings, queues: Queues) -> None:
        self.link = Link(settings, "queue, publisher", self._prepare_channel, self._forget_channel)
        self._queues = queues
        self._channel: Channel | None = None
        self._declared: set[str] = set()
        #: By number on the channel: set to whether the message is in its queue.
        self._unconfirmed: dict[int, asyncio.Future[bool]] = {}
        self._returned: set[int] = set()
        self._number = 0
        self._blocked = False

    async def publish(self, messages: list[Message]) -> None:
        """Put messages into their queues, in order. Raises one of the failures of RabbitMQ."""
        for queue in dict.fromkeys(message.queue for message in messages):
            await self._declare(queue)
        for start in range(0, len(messages), _BATCH):
            await self._publish(messages[start : start + _BATCH])

    async def _publish(self, messages: list[Message]) -> None:
        if returned := await self._send_all(messages):
            # The queue was deleted.
            for queue in {message.queue for message in returned}:
                self._declared.discard(queue)
                await self._declare(queue)
            if await self._send_all(returned):
                raise RabbitMQUnavailableError(f"{self.link.server}: a queue vanishes again and again")

    async def _declare(self, queue: str) -> None:
        connection = self.link.connection
        if queue not in self._declared:
            await self._queues.declare(connection, queue)
            self._declared.add(queue)

    async def _send_all(self, messages: list[Message]) -> list[Message]:
        """Publish messages and wait for all to be confirmed; returns those whose queue does not exist."""
        confirmed = [self._put(message) for message in messages]
        try:
            async with asyncio.timeout(_CONFIRM_TIME):
                there = await asyncio.gather(*confirmed)
        except TimeoutError as error:
            self.link.connection.give_up(error)
            raise
        return [message for message, is_there in zip(messages, there, strict=True) if not is_there]

    def _put(self, message: Message) -> asyncio.Future[bool]:
        if self._channel is None or self._blocked:
            raise RabbitMQUnavailableError(f"{self.link.server}: it takes no messages at the moment")
        # The number of its confirmation, which comes back with a message that is returned.
        self._number += 1
        properties = BasicProperties(
            content_type="application/json", delivery_mode=_PERSISTENT, message_id=str(self._number)
        )
        queue = self._queues.named(message.queue)
        self._channel.raw.basic_publish("", queue, encode(message), properties, mandatory=True)
        confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._unconfirmed[self._number] = confirmed
        return confirmed

    async def _prepare_channel(self, connection: Connection) -> None:
        await self._queues.declare(connection, DEFAULT_QUEUE)
        channel = await connection.lasting_channel()
        channel.raw.add_on_return_callback(self._on_return)
        connection.raw.add_on_connection_blocked_callback(lambda *_: self._block())
        connection.raw.add_on_connection_unblocked_callback(lambda *_: self._unblock())
        await channel.ask(channel.raw.confirm_delivery, self._on_confirmation)
        self._channel, self._declared, self._number = channel, {DEFAULT_QUEUE}, 0

    def _forget_channel(self) -> None:
        self._channel, self._blocked = None, False
        self._declared.clear()
        self._returned.clear()
        self._fail("the connection was lost before a message was confirmed")

    def _on_return(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._returned.add(int(properties.message_id))

    def _on_confirmation(self, frame: Any) -> None:
        method = frame.method
        numbers = [method.delivery_tag]
        if method.multiple:
            numbers = [number for number in self._unconfirmed if number <= method.delivery_tag]
        for number in numbers:
            confirmed = self._unconfirmed.pop(number, None)
            returned = number in self._returned
            self._returned.discard(number)
            if confirmed is None or confirmed.done():
                continue
            if isinstance(method, Basic.Ack):
                confirmed.set_result(not returned)
            else:
                confirmed.set_exception(self._error("it refused a message"))

    def _block(self) -> None:
        """The server is short of memory or of disk: it confirms nothing until that has ended."""
        self._blocked = True
        self._fail("it is short of memory or disk space and takes no messages")

    def _unblock(self) -> None:
        self._blocked = False

    def _fail(self, text: str) -> None:
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for confirmed in unconfirmed.values():
            if not confirmed.done():
                confirmed.set_exception(self._error(text))

    def _error(self, text: str) -> RabbitMQUnavailableError:
        return RabbitMQUnavailableError(f"{self.link.server}: {text}")
