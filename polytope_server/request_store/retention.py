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
        """Those of the given ids that are stored.

        What is missing in the answer was not stored when this was called: a server that was deposed by
        another, and does not know it yet, raises an error instead of answering.
        """

    @abstractmethod
    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        """The name of the staged object of each of the requests that has ended, by its id.

        Empty where it has none. Read as with :meth:`existing`.
        """

    @abstractmethod
    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        """Requests in that state that were last modified longer ago than `age`, the oldest first."""

    @abstractmethod
    async def touch(self, request_id: str) -> None:
        """Note that data of a request that is uploading came in: its age starts from zero again."""

    @abstractmethod
    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        """Note that the results of these requests were downloaded. Only the first time of each is kept."""

    @abstractmethod
    async def usage(self, limit: int) -> list[Usage]:
        """The users with the most bytes of results, in descending order."""

    @abstractmethod
    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        """Processed requests of a user that are older than `age` or were downloaded, the oldest first."""

    @abstractmethod
    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        """Remove those of the requests that are in that state, and leave a tombstone of each, in one step.

        Returns the ids of those that were removed. A request that another process removes at the same time
        has no tombstone.
        """

    @abstractmethod
    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        """The tombstone of that request of that user; None if there is none, or if it is another user's."""

    @abstractmethod
    async def trim_tombstones(self, user_id: str, most: int) -> int:
        """Forget the oldest tombstones of a user beyond the newest `most`; returns how many.

        A call may leave some.
        """

    @abstractmethod
    async def remove_tombstones(self, age: float, limit: int) -> int:
        """Forget up to `limit` tombstones that are older than `age`; returns how many."""
