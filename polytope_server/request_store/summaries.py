"""What the broker reads of requests, of which it keeps a million: summaries, and digests of many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import ClassVar

from polytope_server.request import Status


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """What the broker needs to know of a request, and no more."""

    id: str
    collection: str
    user_id: str
    realm: str
    roles: tuple[str, ...]
    status: Status
    attempt: int
    not_before: float
    datasource: str = ""
    #: Its place in the order of submission; two requests may have the same.
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Digest:
    """Numbers by which two sets of requests, each known by its sequence, are compared without naming them.

    Within a million numbers, a set never has the digest of another that lacks one or two of its requests, or
    has one or two others instead; beyond that, by chance only.
    """

    count: int = 0
    total: int = 0
    squares: int = 0

    #: The sequence is taken modulo this prime: the sum of a million squares stays below 2^63.
    MODULUS: ClassVar[int] = 1_048_573

    @classmethod
    def of(cls, sequences: Iterable[int]) -> Digest:
        """The digest of requests with these sequences."""
        rests = [sequence % cls.MODULUS for sequence in sequences]
        return cls(len(rests), sum(rests), sum(rest * rest for rest in rests))


class Summaries(ABC):
    """The part of a request store that the broker reads: many requests, and little of each."""

    @abstractmethod
    async def summaries(
        self, statuses: Collection[Status], request_ids: Sequence[str]
    ) -> list[RequestSummary]:
        """Summaries of some requests.

        Args:
            statuses: The states in which a request must be.
            request_ids: The requests to look for.

        Returns:
            Summaries of those that are found, in order of submission.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def active(self, after: int, limit: int) -> list[RequestSummary]:
        """A slice of the queued and processing requests: see :meth:`waiting`, without an end.

        Args:
            after: The sequence after which the slice starts.
            limit: How many summaries it has.

        Returns:
            The summaries, in order of submission.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def waiting(self, after: int, until: int | None, limit: int) -> list[RequestSummary]:
        """A slice of the waiting requests: the first ones with `after` < sequence <= `until`.

        An empty slice is the last; each other goes on after the sequence of the one
        before. Requests of the same sequence are never in two slices, so that there may be fewer than
        `limit`, and more if there are more of one sequence. To be read from an index in that order: the
        cost does not grow with what else is stored.

        Args:
            after: The sequence after which the slice starts.
            until: The last sequence that it may have, None for no end.
            limit: How many summaries it has.

        Returns:
            The summaries, in order of submission.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def digest(self, after: int, until: int, limit: int) -> Digest:
        """The digest of the waiting requests with `after` < sequence <= `until`, the first `limit` of them.

        To be read from an index alone.

        Args:
            after: The sequence after which the requests start.
            until: The last sequence.
            limit: How many requests count.

        Returns:
            The digest of their sequences.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """


def new_summary(
    request_id: str,
    collection: str,
    user_id: str,
    realm: str,
    roles: tuple[str, ...],
    status: Status,
    attempt: int,
    not_before: float,
    datasource: str,
    sequence: int,
) -> RequestSummary:
    """A summary of what a store has read. A broker keeps a million of them: equal texts are kept once."""
    return RequestSummary(
        *(request_id, intern(collection), intern(user_id), intern(realm), _kept_once(roles)),
        *(status, attempt, not_before or 0.0, intern(datasource), sequence),
    )


@lru_cache(maxsize=1000)
def _kept_once(roles: tuple[str, ...]) -> tuple[str, ...]:
    return roles
