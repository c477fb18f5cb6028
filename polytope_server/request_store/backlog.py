"""What the broker asks of a request store: which requests wait, in bounded slices, and their promotion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from polytope_server.request import Status
from polytope_server.request_store.summaries import Digest, Sketch


class Backlog(ABC):
    """The part of a request store that the broker chooses from. Nothing here reads the text of a request."""

    @abstractmethod
    async def sketches(self, statuses: Collection[Status], request_ids: Sequence[str]) -> list[Sketch]:
        """Read sketches of requests.

        Args:
            statuses: The states to look for.
            request_ids: The requests to look for.

        Returns:
            Sketches of those of the requests that are in those states, in the order of submission.
        """

    @abstractmethod
    async def active(self, after: int, limit: int) -> list[Sketch]:
        """Read a slice of the queued and processing requests.

        Args:
            after: As with :meth:`waiting`.
            limit: As with :meth:`waiting`.

        Returns:
            As :meth:`waiting` does, without an end.
        """

    @abstractmethod
    async def waiting(self, after: int, until: int | None, limit: int) -> list[Sketch]:
        """Read a slice of the waiting requests.

        To be read from an index in the order of submission: the cost does not grow with what else is stored.

        Args:
            after: The sequence after which the slice begins: of the last request of the slice before.
            until: The last sequence that belongs to it; None for no end.
            limit: How many requests to return. There may be fewer or more: requests of the same sequence
                are never in two slices.

        Returns:
            Sketches in the order of submission; an empty slice is the last.
        """

    @abstractmethod
    async def digest(self, after: int, until: int, limit: int) -> Digest:
        """Sum up waiting requests, so that two reads can be compared. To be read from an index alone.

        Args:
            after: The sequence after which to begin.
            until: The last sequence that belongs to it.
            limit: How many requests to read at most, the first ones.

        Returns:
            The digest of those requests.
        """

    @abstractmethod
    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        """Take waiting requests to queued, if the broker that asks for it still leads: so a broker that
        lost its leadership cannot exceed a limit.

        Args:
            request_ids: The requests to promote.
            leader: The name of the broker.
            term: The term in which it holds the lease `broker`.

        Returns:
            The ids of those that were waiting and are queued now; empty if the lease or the term is another.
        """
