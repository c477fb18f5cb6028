"""What the garbage collector asks of a request store, and what is left of a request that it has removed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from polytope_server.request import Status


@dataclass(frozen=True, slots=True)
class Summary:
    """What the garbage collector needs to know of a request, and no more: its text may have megabytes.

    `content_length` are the bytes of its result, 0 where there is none; `last_modified` is in seconds since
    the epoch.
    """

    id: str
    user_id: str
    content_length: int
    last_modified: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The bytes of all results of a user."""

    user_id: str
    size: int


class Reason(StrEnum):
    """Why the garbage collector removed a request."""

    AGE = "age"  #: it had ended, and was older than ended requests are kept
    SPACE = "space"  #: the staging was beyond its threshold
    NO_UPLOAD = "no upload"  #: it waited for its data for too long


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a removed request, for its owner: when it was removed, and why.

    `removed_at` are seconds since the epoch. `reason` is one of :class:`Reason`, or what a later version has
    stored.
    """

    removed_at: float
    reason: str


class Retention(ABC):
    """The part of a request store that the garbage collector uses. Ages are in seconds, by the store's clock.

    What it reads is bounded: small records, and no more of them than asked for.
    """

    @abstractmethod
    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        """Which requests are stored.

        What is missing in the answer was not stored when this was called: a server that was deposed by
        another, and does not know it yet, raises an error instead of answering.

        Args:
            request_ids: The ids to look for.

        Returns:
            Those that are stored, in whatever state.

        Raises:
            StoreUnavailableError: The store cannot be reached, or cannot confirm that it is the primary.
        """

    @abstractmethod
    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        """The staged objects of requests that have ended; read as with :meth:`existing`.

        Args:
            request_ids: The requests.

        Returns:
            By the id of each that has ended: the name of its object, empty if it has none
            (:attr:`Request.staged <polytope_server.request.Request.staged>`).

        Raises:
            StoreUnavailableError: The store cannot be reached, or cannot confirm that it is the primary.
        """

    @abstractmethod
    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        """Requests that were not modified for a time.

        Args:
            status: Their state.
            age: The least time since the last change.
            limit: How many at most.

        Returns:
            Their summaries, the oldest first.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def touch(self, request_id: str) -> None:
        """Note that data of a request that is uploading came in: its age starts from zero again.

        Args:
            request_id: The request; without effect in any other state.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        """Note that results were downloaded. Only the first time of each is kept.

        Args:
            request_ids: The requests.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def usage(self, limit: int) -> list[Usage]:
        """The users with the most bytes of results.

        Args:
            limit: How many users at most.

        Returns:
            The sums, in descending order.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        """Processed requests of a user that are old or were downloaded.

        Args:
            user_id: The owner.
            age: The time since the last change from which on a request is old.
            limit: How many at most.

        Returns:
            Their summaries, the oldest first.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        """Remove those of the requests that are in that state, and leave a tombstone of each, in one step.

        A request that another process removes at the same time has no tombstone.

        Args:
            request_ids: The requests.
            status: The state that they must be in.
            reason: One of :class:`Reason`, for the tombstone.

        Returns:
            The ids of those that were removed.

        Raises:
            StoreUnavailableError: The store cannot be reached; some may be removed all the same.
        """

    @abstractmethod
    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        """What is left of a removed request.

        Args:
            request_id: The request.
            user_id: The user who asks.

        Returns:
            The tombstone, None if there is none, or if it is another user's.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def trim_tombstones(self, user_id: str, most: int) -> int:
        """Forget the oldest tombstones of a user; a call may leave some.

        Args:
            user_id: The owner.
            most: How many of the newest are kept.

        Returns:
            How many were forgotten.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def remove_tombstones(self, age: float, limit: int) -> int:
        """Forget old tombstones.

        Args:
            age: The time since the removal from which on a tombstone is old.
            limit: How many to forget at most.

        Returns:
            How many were forgotten.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """
