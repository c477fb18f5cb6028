"""Notices through RabbitMQ: an exchange for each topic, and a queue for each subscription.

Nothing is confirmed or kept. What is published while there is no connection goes out when there is one again,
unless that takes longer than notices are worth.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.drivers.rabbitmq.connection import Channel, Connection
from polytope_server.drivers.rabbitmq.errors import RabbitMQUnavailableError
from polytope_server.drivers.rabbitmq.link import Link
from polytope_server.notices import Notice, Notices, Topic

Receive = Callable[[Notice], None]

#: Ids in one message.
_BATCH = 512
#: Messages that wait for a connection, and the seconds after which they are of no use.
_BACKLOG, _WORTH = 1000, 10.0
#: Messages that the server keeps for a subscriber that does not keep up, and their bytes; older ones are lost
#: to it.
_UNREAD, _UNREAD_BYTES = 10_000, 64 << 20


@dataclass(frozen=True)
class _Publication:
    """Ids that are to be published, and when they came."""

    topic: Topic
    ids: tuple[str, ...]
    time: float


class RabbitMQNotices(Notices):
    """Publishes to the fan-out exchanges `NAME.notices.TOPIC`."""

    Settings = RabbitMQSettings

    def __init__(self, settings: RabbitMQSettings, data: Path) -> None:
        self._link = Link(settings, "notices", self._prepare_channel, self._forget_channel)
        self._exchanges = {topic: f"{settings.name}.notices.{topic}" for topic in Topic}
        self._topics = {exchange: topic for topic, exchange in self._exchanges.items()}
        self._channel: Channel | None = None
        self._subscriptions: list[tuple[set[Topic], Receive]] = []
        self._pending: deque[_Publication] = deque(maxlen=_BACKLOG)
        self._open = False
        self._blocked = False
        self._flushing = False

    async def open(self) -> None:
        self._open = True
        with suppress(RabbitMQUnavailableError):
            await self._link.open()

    def publish(self, topic: Topic, *request_ids: str) -> None:
        if not self._open or not request_ids:
            return
        if len(self._pending) == _BACKLOG:
            self._flush_pending()
        self._pending.append(_Publication(topic, request_ids, time.monotonic()))
        # What is published in one turn of the event loop goes out together.
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_pending)

    async def subscribe(self, topics: set[Topic], receive: Receive) -> None:
        self._subscriptions.append((topics, receive))
        channel = self._channel
        if channel is None:
            return  # it is part of what follows the next connection
        with channel.connection.given_up_on_failure():
            await self._bind_queue(channel, topics, receive)

    async def close(self) -> None:
        self._flush_pending()
        self._open = False
        await self._link.close()
        self._subscriptions.clear()
        self._pending.clear()

    async def _prepare_channel(self, connection: Connection) -> None:
        channel = await connection.lasting_channel()
        connection.raw.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.raw.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        for exchange in self._exchanges.values():
            # Durable: a publisher that comes after a restart of the server must find it.
            await channel.ask(channel.raw.exchange_declare, exchange, "fanout", durable=True)
        bound = 0
        while bound < len(self._subscriptions):
            await self._bind_queue(channel, *self._subscriptions[bound])
            bound += 1
        self._channel = channel
        self._flush_pending()

    async def _bind_queue(self, channel: Channel, topics: set[Topic], receive: Receive) -> None:
        """Have a queue of the subscriber's own, which ends with the connection."""
        declared = await channel.ask(
            channel.raw.queue_declare, "", exclusive=True, auto_delete=True,
            arguments={
                "x-max-length": _UNREAD, "x-max-length-bytes": _UNREAD_BYTES, "x-overflow": "drop-head",
            },
        )  # fmt: skip
        for topic in topics:
            await channel.ask(channel.raw.queue_bind, declared.queue, self._exchanges[topic])

        def on_message(_: Any, method: Any, properties: Any, body: bytes) -> None:
            topic = self._topics.get(method.exchange)
            if topic is not None:
                for request_id in body.decode(errors="replace").split("\n"):
                    receive(Notice(topic, request_id))

        await channel.ask(channel.raw.basic_consume, declared.queue, on_message, auto_ack=True)

    def _forget_channel(self) -> None:
        self._channel, self._blocked = None, False

    def _set_blocked(self, blocked: bool) -> None:
        """The server takes nothing while it is short of memory or disk."""
        self._blocked = blocked
        self._flush_pending()

    def _flush_pending(self) -> None:
        self._flushing = False
        if self._channel is None or self._blocked or not self._channel.raw.is_open:
            return
        pending = [one for one in self._pending if time.monotonic() - one.time < _WORTH]
        self._pending.clear()
        together: dict[Topic, list[str]] = {}
        for one in pending:
            together.setdefault(one.topic, []).extend(one.ids)
        for topic, ids in together.items():
            for start in range(0, len(ids), _BATCH):
                body = "\n".join(ids[start : start + _BATCH]).encode()
                self._channel.raw.basic_publish(self._exchanges[topic], "", body)
