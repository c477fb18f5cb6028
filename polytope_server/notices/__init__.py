"""Notices: other processes learn at once that a request changed. They also carry questions, and answers.

Lossy by contract: a process that waits for a notice also looks into the store from time to time, and one that
asks a question can do without the answer.
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
    QUESTION = "question"  #: a text from a frontend to workers
    ANSWER = "answer"  #: a text from a worker to frontends


#: The topics whose notices are about requests.
ABOUT_REQUESTS = frozenset(Topic) - {Topic.QUESTION, Topic.ANSWER}
LONGEST_TEXT = 3900
"""Characters of a text: printable ASCII. PostgreSQL takes 8,000 bytes, in which some characters are two."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of one request, or a text of the topics QUESTION and ANSWER in place of its id."""

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
            request_ids: The requests to which it happened. For QUESTION and ANSWER any texts of printable
                ASCII with at most `LONGEST_TEXT` characters; they arrive in this order.
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
