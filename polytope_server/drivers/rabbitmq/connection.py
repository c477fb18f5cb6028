"""One connection to RabbitMQ, and its channels: the driver calls back; here its methods can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from polytope_server.drivers.rabbitmq.errors import FAILURES, RabbitMQUnavailableError

T = TypeVar("T")
#: Seconds for a connection to be ready to use, for an answer, and for a connection to end in good order.
CONNECT_TIME, _ANSWER_TIME, _CLOSE_TIME = 4.0, 5.0, 1.0


def _resolve(future: asyncio.Future[T], value: T) -> None:
    """Set the result of a future, unless it is done: its waiter may have given up."""
    if not future.done():
        future.set_result(value)


async def _first_of(one: asyncio.Future[Any], other: asyncio.Future[Any], seconds: float) -> None:
    """Return when one of two futures is done. Raises TimeoutError."""
    done, _ = await asyncio.wait((one, other), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        raise TimeoutError


class Channel:
    """A channel whose methods can be awaited, one after the other."""

    def __init__(self, connection: Connection) -> None:
        """Raises one of :data:`FAILURES`. It can be used after :meth:`open`."""
        loop = asyncio.get_running_loop()
        self.connection = connection
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[Exception] = loop.create_future()
        #: The driver's channel.
        self.raw = connection.raw.channel(on_open_callback=lambda _: _resolve(self._opened, None))
        self.raw.add_on_close_callback(lambda _, error: _resolve(self._closed, error))

    async def open(self) -> None:
        """Return when the channel can be used. Raises one of :data:`FAILURES`."""
        await self._outcome(self._opened)

    async def ask(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The server's answer to a method of :attr:`raw`. Raises one of :data:`FAILURES`."""
        answer = asyncio.get_running_loop().create_future()
        method(*arguments, callback=lambda frame: _resolve(answer, frame.method), **options)
        return await self._outcome(answer)

    async def _outcome(self, answer: asyncio.Future[T]) -> T:
        await _first_of(answer, self._closed, _ANSWER_TIME)
        if answer.done():
            return answer.result()
        raise self._closed.result()


class Connection:
    """One connection, from its opening to its end."""

    def __init__(self, parameters: Any) -> None:
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[Exception] = loop.create_future()
        #: Done when the connection has ended, could not be made, or is of no use any more: why.
        self.over: asyncio.Future[Exception] = loop.create_future()
        #: The driver's connection.
        self.raw = AsyncioConnection(
            parameters,
            on_open_callback=lambda _: _resolve(self._opened, None),
            on_open_error_callback=lambda _, error: self._end(error),
            on_close_callback=lambda _, error: self._end(error),
            custom_ioloop=loop,
        )

    async def open(self) -> None:
        """Return when the connection can be used. Raises one of :data:`FAILURES`."""
        await _first_of(self._opened, self.over, CONNECT_TIME)
        if self.over.done():
            raise self.over.result()

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A channel for a short while. Raises one of :data:`FAILURES`."""
        channel = Channel(self)
        await channel.open()
        try:
            yield channel
        finally:
            if channel.raw.is_open:
                channel.raw.close()

    async def lasting_channel(self) -> Channel:
        """A channel that lasts as long as the connection. Raises one of :data:`FAILURES`.

        When the server closes it, or ends a subscription on it, the connection is given up, because then
        everything that was prepared must be prepared again.
        """
        channel = Channel(self)
        channel.raw.add_on_close_callback(lambda _, error: self.give_up(error))
        deleted = RabbitMQUnavailableError("a queue was deleted")
        channel.raw.add_on_cancel_callback(lambda _: self.give_up(deleted))
        await channel.open()
        return channel

    @contextmanager
    def given_up_on_failure(self) -> Iterator[None]:
        """A context for operations on a lasting channel: after one that fails the connection is given up."""
        try:
            yield
        except FAILURES as error:
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Say why the connection is of no use any more; its keeper makes another."""
        _resolve(self.over, error)

    async def close(self) -> None:
        """End the connection: what was sent arrives, unless the server does not answer."""
        if self._ended.done():
            return
        try:
            with suppress(AMQPError):
                self.raw.close()
            await asyncio.wait((self._ended,), timeout=_CLOSE_TIME)
        finally:
            if not self._ended.done() and self._opened.done():
                # The driver has no public way to leave a server that does not answer.
                self.raw._terminate_stream(AMQPError("the connection was given up"))

    def _end(self, error: Exception) -> None:
        _resolve(self._ended, error)
        _resolve(self.over, error)
