"""Notices: other processes learn at once that a request changed.

Lossy by contract: a process that waits for a notice also looks into the store from time to time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """What happened."""

    WAITING = "waiting"  #: a request waits for the broker (submitted, or uploaded)
    REQUEUED = "requeued"  #: a worker gave a request back
    CLAIMED = "claimed"  #: a worker took a request: there is room in the queue
    ENDED = "ended"  #: a request was processed, failed or removed: a place is free
    REMOVED = "removed"  #: a request was removed: its worker stops


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of one request."""

    topic: Topic
    request_id: str


class Notices(ABC):
    """Publish and subscribe between the processes of one deployment."""

    @abstractmethod
    async def open(self) -> None:
        """Get ready to publish and subscribe.

        Raises:
            UnavailableError: The server of the notices cannot be reached. A back-end may also come back by
                itself later, and raise nothing.
        """

    @abstractmethod
    def publish(self, topic: Topic, *request_ids: str) -> None:
        """Inform all subscribers of the topic. Returns at once and never raises; a notice may be lost.

        Args:
            topic: What happened.
            request_ids: The requests to which it happened.
        """

    @abstractmethod
    async def subscribe(self, topics: set[Topic], receive: Callable[[Notice], None]) -> None:
        """Have notices delivered until :meth:`close`.

        Args:
            topics: Those whose notices are wanted.
            receive: Called in the event loop for each notice. It must not raise.
        """

    @abstractmethod
    async def close(self) -> None:
        """End all subscriptions."""
