"""The request store: where the truth about requests lives (invariants 1 to 4 of docs/architecture.md)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any

from polytope_server.request import Request, Status
from polytope_server.request_store.clock import LocalClock, kept
from polytope_server.request_store.errors import (
    DuplicateRequestError,
    StoreUnavailableError,
    UnknownStateError,
)
from polytope_server.request_store.leasing import Leasing
from polytope_server.request_store.retention import Retention
from polytope_server.request_store.selections import PAGE, PAGE_SIZE, Page, Paging, Removed, Selection
from polytope_server.request_store.states import States, without_secrets
from polytope_server.request_store.summaries import Digest, RequestSummary, Summaries, new_summary

__all__ = [
    "PAGE",
    "PAGE_SIZE",
    "Digest",
    "DuplicateRequestError",
    "Page",
    "Removed",
    "RequestStore",
    "RequestSummary",
    "Selection",
    "States",
    "StoreUnavailableError",
    "UnknownStateError",
    "new_summary",
    "without_secrets",
]


class RequestStore(Leasing, Retention, Paging, Summaries, ABC):
    """Keeps requests; every change of state is one atomic compare-and-set.

    Every method may raise :class:`StoreUnavailableError`. What a method has returned is durable. Several
    processes, each with its own instance, work on one store.

    Times are seconds since the epoch by one clock, that of the store: it fills `last_modified`,
    `status_history`, `lease_until` and `not_before`, and judges leases, within the operation that needs it.
    """

    @cached_property
    def local_clock(self) -> LocalClock:
        """The store's time, as this process estimates it."""
        return LocalClock(self.clock)

    def while_open(self) -> AbstractAsyncContextManager[None]:
        """Keep that estimate up to date, and compare it with the clock of this machine.

        Returns:
            The context in which this is done.
        """
        return kept(self.local_clock)

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the store needs (idempotent).

        Raises:
            StoreUnavailableError: The store cannot be reached; the caller tries again.
            IncompatibleSchemaError: The store is of a version that this process must not work on.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources; pending writes are finished first."""

    async def check(self) -> None:
        """Return if the store answers."""
        await self.get("")

    @abstractmethod
    async def clock(self) -> float:
        """The store's time.

        Returns:
            Seconds since the epoch.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def add(self, request: Request) -> None:
        """Store a new request.

        Args:
            request: The request; the attributes of its user are not stored.

        Raises:
            DuplicateRequestError: Its id is taken.
            StoreUnavailableError: The store cannot be reached; the request may be stored all the same.
        """

    @abstractmethod
    async def get(self, request_id: str) -> Request | None:
        """One request.

        Args:
            request_id: Its id.

        Returns:
            The request, None if there is none of that id.

        Raises:
            StoreUnavailableError: The store cannot be reached.
            UnknownStateError: The request is in a state of a later version.
        """

    @abstractmethod
    async def find(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        """Requests that fulfil all the conditions given, in the order of submission.

        All of them at once, in memory: for tests and operators. See :meth:`pages`.

        Args:
            user_id: The owner.
            collection: The collection; needs a user.
            statuses: The states, by default all that this version knows.
            limit: How many requests to return at most.

        Returns:
            The requests.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def count(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> int:
        """How many requests fulfil all the conditions given.

        Args:
            user_id: The owner.
            collection: The collection; needs a user.
            statuses: The states, by default all that this version knows.
            limit: The number, at least 1, at which counting ends.

        Returns:
            The number.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        """The sum of :attr:`Request.text_size` of a user's requests.

        Args:
            user_id: The owner.
            statuses: The states.

        Returns:
            Bytes.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def transition(
        self,
        request_id: str,
        expect: Status,
        attempt: int,
        to: Status,
        *,
        delay: float | None = None,
        **changes: Any,
    ) -> Request | None:
        """Compare-and-set: take the request to state `to` if it is in state `expect` at that `attempt`.

        `last_modified` is set, and `status_history` for the first entry into a state; `sealed` is removed
        with the entry into a state that is never left (see :func:`without_secrets`).

        Args:
            request_id: The request.
            expect: The state that it must be in.
            attempt: The attempt that it must be at.
            to: The next state.
            delay: Sets `not_before`, in seconds from now.
            changes: Further fields of :class:`Request` to set in the same step.

        Returns:
            The changed request; None if it is gone or stands elsewhere, and nothing is changed.

        Raises:
            IllegalTransitionError: :data:`~polytope_server.request.TRANSITIONS` does not have this step.
            StoreUnavailableError: The store cannot be reached; the step may be taken all the same.
        """

    @abstractmethod
    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        """Take those of the requests that are waiting to queued.

        Does nothing unless `leader` holds the lease `broker` in that `term`: a broker that lost leadership
        cannot exceed a limit.

        Args:
            request_ids: The requests.
            leader: The broker.
            term: The term of its lease, from :meth:`lead`.

        Returns:
            The ids of those that were taken.

        Raises:
            StoreUnavailableError: The store cannot be reached; some may be queued all the same.
        """

    @abstractmethod
    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        """:meth:`transition` from processing, if the lease of that attempt has ended.

        That is judged in the same operation: a worker that renews in time keeps its request.

        Args:
            request_id: The request.
            attempt: The attempt that it must be at.
            to: The next state.
            delay: Sets `not_before`, in seconds from now.
            changes: Further fields of :class:`Request` to set in the same step.

        Returns:
            As :meth:`transition`; None, too, if the lease has not ended.

        Raises:
            StoreUnavailableError: As :meth:`transition`.
        """

    @abstractmethod
    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        """Delete a request if it fulfils the conditions, atomically.

        Args:
            request_id: The request.
            user_id: Its owner, if that is a condition.
            statuses: The states, if they are a condition.

        Returns:
            The request as it was, None if nothing matched.

        Raises:
            StoreUnavailableError: The store cannot be reached; the request may be gone all the same.
        """
