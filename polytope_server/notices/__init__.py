"""Notices: tell other processes, at once, that a request changed.

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
        """Get ready to publish and subscribe. A later outage costs notices, and raises nothing.

        Raises:
            ~polytope_server.runtime.unavailable.UnavailableError: The server cannot be reached, or cannot
                pass on notices. This may be called again.
        """

    @abstractmethod
    def publish(self, topic: Topic, *request_ids: str) -> None:
        """Send a notice to all subscribers of the topic. Returns at once and never raises; a notice may be
        lost.

        Args:
            topic: What happened.
            request_ids: The requests to which it happened: one notice for each.
        """

    @abstractmethod
    async def subscribe(self, topics: set[Topic], receive: Callable[[Notice], None]) -> None:
        """Receive notices until :meth:`close`.

        Args:
            topics: The topics to receive.
            receive: Called in the event loop for each notice.
        """

    @abstractmethod
    async def close(self) -> None:
        """End all subscriptions."""
