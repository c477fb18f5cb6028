"""The queues that a deployment has on RabbitMQ: their names, how they are declared, and what is in them."""

from __future__ import annotations

import json
from typing import Any

from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from polytope_server.drivers.rabbitmq.connection import Connection
from polytope_server.queue import DEFAULT_QUEUE, Message

#: Reply codes of AMQP 0-9-1: what a queue is asked to be differs from what it is; there is no such queue; the
#: server has no queues of that type.
_DIFFERS, _UNKNOWN, _NO_TYPE = 406, 404, (540, 541)
#: RabbitMQ 4 drops what came back 20 times, unless it is given a number; below version 4 a negative one,
#: which means no limit there, drops what came back once.
_DELIVERIES = 1_000_000
#: The latest messages that could not be understood, for the operator to look at.
_DEAD_LETTERS = 10_000


def encode(message: Message) -> bytes:
    """The body of a message; that of earlier servers."""
    return json.dumps({"id": message.request_id}).encode()


def decode(body: bytes, queue: str) -> Message | None:
    """The message of a body that came from a queue, None for what is no message."""
    try:
        request_id = json.loads(body)["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return Message(request_id, queue) if isinstance(request_id, str) else None


class Queues:
    """The queues of a name: the default one is called like that, others `NAME.QUEUE`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._quorum = True

    @property
    def dead_letters(self) -> str:
        """Where messages go that cannot be understood. The name of no queue has a dot."""
        return f"{self._name}.dead.letters"

    def named(self, queue: str) -> str:
        """The name on the server."""
        return self._name if queue == DEFAULT_QUEUE else f"{self._name}.{queue}"

    async def declare(self, connection: Connection, queue: str) -> None:
        """Have a queue on the server; one that is there already is used as it is."""
        await self._declare(connection, self.dead_letters, {"x-max-length": _DEAD_LETTERS})
        dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead_letters}
        limit = {"x-delivery-limit": _DELIVERIES} if self._quorum else {}
        await self._declare(connection, self.named(queue), {**dead_letters, **limit})

    async def count(self, connection: Connection, queue: str) -> int:
        """How many messages wait in a queue; none if it does not exist."""
        try:
            async with connection.channel() as channel:
                answer = await channel.ask(channel.raw.queue_declare, self.named(queue), passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code == _UNKNOWN:
                return 0
            raise
        return int(answer.message_count)

    async def _declare(self, connection: Connection, name: str, arguments: dict[str, Any]) -> None:
        kind = {"x-queue-type": "quorum"} if self._quorum else {}
        try:
            async with connection.channel() as channel:
                await channel.ask(
                    channel.raw.queue_declare, name, durable=True, arguments={**kind, **arguments}
                )
        except ChannelClosedByBroker as error:
            if error.reply_code != _DIFFERS:
                raise
            # An earlier server made it, or the operator: to change it would mean to delete it.
            async with connection.channel() as channel:
                await channel.ask(channel.raw.queue_declare, name, passive=True)
        except ConnectionClosedByBroker as error:
            # Classic queues from the next connection on, which follows at once.
            self._quorum = self._quorum and error.reply_code not in _NO_TYPE
            raise
