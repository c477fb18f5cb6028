"""What workers and brokers ask of a request store: claims of requests, and leases with a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

from polytope_server.request import Request, Status


class Leases(ABC):
    """The part of a request store that decides who holds what, and until when: by the store's clock alone.

    The `attempt` of a claim, and the `term` of a named lease, are fencing tokens.
    """

    @abstractmethod
    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        """Take requests that are queued to processing, for a worker, and add 1 to their `attempt`.

        A claim without an answer, because the store could not be reached, may have taken place: the request
        then names this worker.

        Args:
            request_ids: The requests to claim.
            worker: The name of the worker.
            lease: For how many seconds the worker holds them.

        Returns:
            The requests that were claimed: those that were queued.
        """

    @abstractmethod
    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        """Extend leases of a worker.

        Args:
            claims: The id and attempt of each request.
            worker: The name of the worker.
            lease: For how many seconds from now the worker holds them.

        Returns:
            The ids of those that the worker still holds.
        """

    @abstractmethod
    async def expired(self, limit: int) -> list[Request]:
        """Find requests in processing whose lease has ended.

        Args:
            limit: How many to return at most.

        Returns:
            The requests, in the order in which their leases ended.
        """

    @abstractmethod
    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        """Take a request out of processing, as :meth:`~RequestStore.transition` does, if the lease of that
        attempt has ended. That is judged in the same operation: a worker that renews in time keeps its
        request.

        Args:
            request_id: The id of the request.
            attempt: The attempt whose lease has ended.
            to: The state that the request enters.
            delay: As with :meth:`~RequestStore.transition`.
            changes: As with :meth:`~RequestStore.transition`.

        Returns:
            The changed request; None if it is gone, in another state or attempt, or still held.
        """

    @abstractmethod
    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew a named lease.

        Args:
            name: The name of the lease, such as `broker`.
            holder: The name of the process.
            seconds: For how long from now it is held.

        Returns:
            The term, a number that grows with each change of the holder; None while another holds the lease.
        """

    @abstractmethod
    async def resign(self, name: str, holder: str) -> None:
        """Give a named lease back.

        Args:
            name: The name of the lease.
            holder: The name of the process; nothing happens if it does not hold the lease.
        """
