"""The queue: hands the requests that the broker chose to the workers. A hint; the store is the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from polytope_server.collection import DEFAULT_QUEUE
from polytope_server.runtime.unavailable import UnavailableError

__all__ = ["DEFAULT_QUEUE", "Delivery", "Message", "Queue", "QueueUnavailableError"]


class QueueUnavailableError(UnavailableError):
    """The queue cannot be reached at the moment; the caller may try again."""

    role = "queue"


@dataclass(frozen=True, slots=True)
class Message:
    """A request to work on: its id and the queue it belongs to."""

    request_id: str
    queue: str = DEFAULT_QUEUE


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that a consumer holds. It must be acknowledged (`ack`) or given back (`nack`), once."""

    message: Message
    ack: Callable[[], None]
    nack: Callable[[], None]


class Queue(ABC):
    """At-least-once delivery of messages from publishers to consumers.

    A message that a consumer holds comes back to the queue when the consumer dies or calls `nack`. A
    queue may lose messages when its server ends; the broker publishes again what the store says is
    queued. Both sides reconnect by themselves.
    """

    @abstractmethod
    async def open_publisher(self) -> None:
        """Get ready to publish. Called by the leading broker only.

        Raises:
            QueueUnavailableError: The queue cannot be reached.
        """

    @abstractmethod
    async def publish(self, messages: list[Message]) -> None:
        """Put messages into the queue.

        Args:
            messages: What to publish, in order.

        Raises:
            QueueUnavailableError: It is not certain that all of them are there.
        """

    @abstractmethod
    async def open_consumer(self, queues: list[str], deliver: Callable[[Delivery], None]) -> None:
        """Get ready to receive messages; none come before :meth:`grant`.

        Args:
            queues: The names of the queues to consume.
            deliver: Called in the event loop for each delivery, in order.

        Raises:
            QueueUnavailableError: The queue cannot be reached.
        """

    @abstractmethod
    def grant(self, count: int) -> None:
        """Let further messages be delivered (flow control by credit).

        A consumer grants what it can start on at once, so that no message waits at a busy worker while
        another worker is idle.

        Args:
            count: How many more messages may come.
        """

    @abstractmethod
    async def count(self, queue: str = DEFAULT_QUEUE) -> int:
        """Count the messages that wait in a queue, without those that consumers hold.

        Args:
            queue: The name of the queue.

        Returns:
            The number of messages.

        Raises:
            QueueUnavailableError: The queue cannot be reached.
        """

    async def check(self) -> None:
        """Make sure that the queue can be used by the side that is open.

        Raises:
            QueueUnavailableError: It cannot.
        """
        await self.count()

    @abstractmethod
    async def close(self) -> None:
        """Stop publishing and consuming; unacknowledged messages go back to the queue."""
