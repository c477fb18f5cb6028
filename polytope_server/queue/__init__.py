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
    """A message in a consumer's hands. It must be acknowledged or given back, once."""

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
            QueueUnavailableError: The server of the queue cannot be reached.
        """

    @abstractmethod
    async def publish(self, messages: list[Message]) -> None:
        """Put messages into the queue.

        Args:
            messages: They may go to different queues.

        Raises:
            QueueUnavailableError: It is not certain that all messages are in the queue.
        """

    @abstractmethod
    async def open_consumer(self, queues: list[str], deliver: Callable[[Delivery], None]) -> None:
        """Get ready to receive messages; none come before :meth:`grant`.

        Never raises: a server that cannot be reached is tried again in the background.

        Args:
            queues: The names of the queues whose messages come.
            deliver: Called in the event loop for each delivery, in order.
        """

    @abstractmethod
    def grant(self, count: int) -> None:
        """Let `count` more messages be delivered.

        A consumer grants what it can start on at once, so that no message waits in the hands of a busy
        worker while another worker is idle.

        Args:
            count: How many, in addition to those that are granted already.
        """

    @abstractmethod
    async def count(self, queue: str = DEFAULT_QUEUE) -> int:
        """Count the messages that no consumer holds.

        Args:
            queue: The name of the queue.

        Returns:
            How many messages are in it.

        Raises:
            QueueUnavailableError: The server of the queue does not answer.
        """

    async def check(self) -> None:
        """Return if the queue can be used by the side that is open.

        Raises:
            QueueUnavailableError: It cannot.
        """
        await self.count()

    @abstractmethod
    async def close(self) -> None:
        """Stop to publish and to consume; unacknowledged messages go back."""
