"""A queue for the processes of one machine: the broker keeps it in memory and serves it on a Unix socket.

Messages are pushed to the workers, which cost nothing while they wait. What a worker holds comes back the
moment its connection ends. What is lost with the broker, the next broker publishes again from the store.

On the wire are lines of text: `H <queue>,<queue>` opens a consumer, `C <n>` grants it n more messages,
`D <tag> <queue> <id>` delivers one, `A <tag>` acknowledges it, `N <tag>` gives it back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict

from polytope_server.back_off import BackOff
from polytope_server.queue import DEFAULT_QUEUE, Delivery, Message, Queue, QueueUnavailableError
from polytope_server.runtime import local_sockets

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
#: Bytes of a line; one that names all queues of a worker is the longest.
_LONGEST_LINE = 64 << 10


class LocalQueueSettings(BaseModel):
    """This back-end has no keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Lines(asyncio.Protocol):
    """Either end of a connection: splits what comes in into lines, and each line into words."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.words(line.decode().split(" "))
        if len(self._rest) > _LONGEST_LINE:
            self.transport.abort()

    def words(self, words: list[str]) -> None:
        """Handle one line."""

    def send(self, *words: object) -> None:
        """Send one line; nothing once the connection has ended."""
        if not self.transport.is_closing():
            self.transport.write((" ".join(map(str, words)) + "\n").encode())


class _Consumer(_Lines):
    """The broker's end: one consumer, and the messages in its hands."""

    def __init__(self, server: _Server) -> None:
        super().__init__()
        self._server = server
        self.queues: list[str] = []
        self.credit = 0
        self._tag = 0
        self._held: dict[str, Message] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.accept(self)

    def words(self, words: list[str]) -> None:
        match words:
            case ["H", queues, *_]:
                self.queues = queues.split(",")
                self._server.consumers.append(self)
            case ["C", count, *_]:
                self.credit += int(count)
            case ["A", tag, *_]:
                self._server.done(self._held.pop(tag))
            case ["N", tag, *_]:
                self._server.give_back(self._held.pop(tag))
        self._server.dispatch()

    def deliver(self, message: Message) -> None:
        self.credit -= 1
        self._tag += 1
        self._held[str(self._tag)] = message
        self.send("D", self._tag, message.queue, message.request_id)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        if self in self._server.consumers:
            self._server.consumers.remove(self)
        for message in self._held.values():
            self._server.give_back(message)
        self._held.clear()
        self._server.dispatch()


class _Server:
    """The queue itself: what is ready, and who takes it."""

    def __init__(self) -> None:
        self.consumers: deque[_Consumer] = deque()
        self.ready: dict[str, deque[Message]] = {}
        self._known: set[str] = set()
        self._listener: asyncio.Server | None = None
        #: All that are open, those that have not said yet what they consume included.
        self.connections: set[_Consumer] = set()
        self._closed = False

    def accept(self, connection: _Consumer) -> None:
        """A connection was made; one that was under way when this server closed must find the next one."""
        self.connections.add(connection)
        if self._closed:
            connection.transport.close()

    async def listen(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(lambda: _Consumer(self), local_sockets.address(path))

    def put(self, message: Message) -> None:
        """Add a message, unless it is here already: publishing again is how losses are repaired."""
        if message.request_id not in self._known:
            self._known.add(message.request_id)
            self.ready.setdefault(message.queue, deque()).append(message)

    def done(self, message: Message) -> None:
        self._known.discard(message.request_id)

    def give_back(self, message: Message) -> None:
        self.ready.setdefault(message.queue, deque()).appendleft(message)

    def dispatch(self) -> None:
        """Hand out what is ready to the consumers that are free, in turn."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            for name in consumer.queues:
                messages = self.ready.get(name)
                while messages and consumer.credit > 0:
                    consumer.deliver(messages.popleft())

    def close(self) -> None:
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.transport.close()


class _Client(_Lines):
    """The worker's end of the connection."""

    def __init__(self, queue: LocalQueue) -> None:
        super().__init__()
        self._queue = queue
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._queue.connected(self)

    def words(self, words: list[str]) -> None:
        _, tag, queue, request_id, *_ = words  # a later version may say more
        # After the connection has ended the message is another's: to answer does nothing then.
        self._queue.deliver(
            Delivery(
                Message(request_id, queue), ack=lambda: self.send("A", tag), nack=lambda: self.send("N", tag)
            )
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._queue.disconnected(self)
        if not self.ended.done():
            self.ended.set_result(None)


class LocalQueue(Queue):
    """Serves the queue on `DIR/run/queue.sock` for the publisher, connects to it for a consumer."""

    Settings = LocalQueueSettings

    def __init__(self, settings: LocalQueueSettings, data: Path) -> None:
        self._path = data / "run" / "queue.sock"
        self._server: _Server | None = None
        self._consumer: asyncio.Task[None] | None = None
        self._client: _Client | None = None
        self._queues: list[str] = []
        self._deliver: Callable[[Delivery], None] = lambda _: None
        self._credit = 0

    async def open_publisher(self) -> None:
        local_sockets.folder(self._path.parent)
        self._server = _Server()
        await self._server.listen(self._path)

    async def publish(self, messages: list[Message]) -> None:
        if self._server is None:
            raise QueueUnavailableError("the queue is not open for publishing")
        for message in messages:
            self._server.put(message)
        self._server.dispatch()

    async def open_consumer(self, queues: list[str], deliver: Callable[[Delivery], None]) -> None:
        local_sockets.folder(self._path.parent)
        self._queues, self._deliver = queues, deliver
        self._consumer = asyncio.create_task(self._consume())

    def grant(self, count: int) -> None:
        self._credit += count
        if self._client is not None:
            self._client.send("C", count)

    def connected(self, client: _Client) -> None:
        """A connection is there: send it what this consumer takes, and how much of it."""
        self._client = client
        client.send("H", ",".join(self._queues))
        client.send("C", self._credit)

    def disconnected(self, client: _Client) -> None:
        """A connection has ended: what is granted from now on is sent to the next one."""
        if self._client is client:
            self._client = None

    def deliver(self, delivery: Delivery) -> None:
        """A message has come."""
        self._credit -= 1
        self._deliver(delivery)

    async def _consume(self) -> None:
        """Stay connected for as long as there is a broker, and come back when there is one again."""
        loop = asyncio.get_running_loop()
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                transport, client = await loop.create_unix_connection(
                    lambda: _Client(self), local_sockets.address(self._path)
                )
            except OSError:
                await asyncio.sleep(back_off.failed())
                continue
            back_off.succeeded()
            try:
                await client.ended
            finally:
                transport.close()
            logger.info("the connection to the queue ended; connecting again")

    async def count(self, queue: str = DEFAULT_QUEUE) -> int:
        return len(self._server.ready.get(queue, ())) if self._server else 0

    async def check(self) -> None:
        if self._server is None and self._client is None:
            raise QueueUnavailableError("there is no connection to a broker that leads")

    async def close(self) -> None:
        if self._consumer is not None:
            self._consumer.cancel()
            with suppress(asyncio.CancelledError):
                await self._consumer
            self._consumer = None
        if self._server is not None:
            self._server.close()
            self._server = None
