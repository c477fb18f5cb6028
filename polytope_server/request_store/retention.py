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
        """Find out which requests are stored.

        Args:
            request_ids: The ids to look for.

        Returns:
            Those of the ids that are stored. What is missing was not stored when this was called.

        Raises:
            StoreUnavailableError: Also from a database server that lost its leadership to another, and does
                not know it yet.
        """

    @abstractmethod
    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        """Look up the results of requests that have ended.

        Args:
            request_ids: The ids to look for.

        Returns:
            The `url` of each of those that have ended, by id.

        Raises:
            StoreUnavailableError: As :meth:`existing` does.
        """

    @abstractmethod
    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        """Find requests that have not changed for a time.

        Args:
            status: The state in which they are.
            age: For how many seconds at least they have not changed.
            limit: How many to return at most.

        Returns:
            Their summaries, the oldest first.
        """

    @abstractmethod
    async def touch(self, request_id: str) -> None:
        """Note that data of a request that is uploading came in: its age begins again.

        Args:
            request_id: The id of the request.
        """

    @abstractmethod
    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        """Note that results were downloaded. Only the first time of each is kept.

        Args:
            request_ids: The requests whose results were downloaded.
        """

    @abstractmethod
    async def usage(self, limit: int) -> list[Usage]:
        """Find the users with most bytes of results.

        Args:
            limit: How many to return at most.

        Returns:
            The users, the one with most first.
        """

    @abstractmethod
    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        """Find processed requests that may be removed to make room.

        Args:
            user_id: The owner.
            age: Requests that were not downloaded must be older than this many seconds.
            limit: How many to return at most.

        Returns:
            Their summaries, the oldest first.
        """

    @abstractmethod
    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        """Remove requests, and leave a tombstone of each, in one step.

        Args:
            request_ids: The requests to remove.
            status: The state in which they must be.
            reason: Why, for the tombstones: one of :class:`Reason`.

        Returns:
            The ids of those that were removed. A request that another caller removes at the same time has no
            tombstone.
        """

    @abstractmethod
    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        """Look up the tombstone of a request.

        Args:
            request_id: The id of the request.
            user_id: The owner.

        Returns:
            The tombstone; None if there is none, or if it is another user's.
        """

    @abstractmethod
    async def trim_tombstones(self, user_id: str, most: int) -> int:
        """Remove the oldest tombstones of a user.

        Args:
            user_id: The owner.
            most: How many may stay.

        Returns:
            How many were removed; a call may leave some that another call removes.
        """

    @abstractmethod
    async def remove_tombstones(self, age: float, limit: int) -> int:
        """Remove old tombstones.

        Args:
            age: Remove those older than this many seconds.
            limit: How many to remove at most.

        Returns:
            How many were removed.
        """
