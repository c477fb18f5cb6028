"""Leases in a request store: those of workers on requests, and the one by which a broker leads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from polytope_server.request import Request


class Leasing(ABC):
    """The part of a request store that keeps leases, by its own clock."""

    @abstractmethod
    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        """Take those of the requests that are queued to processing, for `worker`, for `lease` seconds.

        Adds 1 to `attempt`.

        Args:
            request_ids: The requests.
            worker: The name of the worker.
            lease: The time of the lease in seconds.

        Returns:
            The claimed requests.

        Raises:
            StoreUnavailableError: The store cannot be reached. The claim may be there all the same: the
                request then names this `worker`.
        """

    @abstractmethod
    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        """Extend leases.

        Args:
            claims: Pairs of an id and an attempt.
            worker: The worker that must hold them.
            lease: The time from now on, in seconds.

        Returns:
            The ids of those that it still holds.

        Raises:
            StoreUnavailableError: The store cannot be reached; leases may be extended all the same.
        """

    @abstractmethod
    async def expired(self, limit: int) -> list[Request]:
        """Requests in processing whose lease has ended.

        Args:
            limit: How many at most.

        Returns:
            The requests, in the order in which their leases ended.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the named lease.

        Args:
            name: The lease, such as `broker`.
            holder: The process that takes it.
            seconds: The time of the lease.

        Returns:
            The term, a number that grows with each change of holder; None while another holds the lease.

        Raises:
            StoreUnavailableError: The store cannot be reached; the lease may be taken all the same.
        """

    @abstractmethod
    async def resign(self, name: str, holder: str) -> None:
        """Give the named lease back.

        Args:
            name: The lease.
            holder: The process that gives it back; without effect if it does not hold the lease.

        Raises:
            StoreUnavailableError: The store cannot be reached; the lease ends by itself.
        """
