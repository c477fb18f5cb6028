"""The request store: where the truth about requests lives (invariants 1 to 4 of docs/architecture.md)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any

from polytope_server.request import Request, Status
from polytope_server.request_store.backlog import Backlog
from polytope_server.request_store.clock import LocalClock, kept
from polytope_server.request_store.errors import (
    DuplicateRequestError,
    StoreUnavailableError,
    UnknownStateError,
)
from polytope_server.request_store.leases import Leases
from polytope_server.request_store.retention import Retention
from polytope_server.request_store.selections import PAGE, PAGE_SIZE, Page, Removed, Selection
from polytope_server.request_store.states import States, without_secrets
from polytope_server.request_store.summaries import Digest, Sketch, new_sketch

__all__ = [
    "PAGE",
    "PAGE_SIZE",
    "Digest",
    "DuplicateRequestError",
    "Page",
    "Removed",
    "RequestStore",
    "Selection",
    "Sketch",
    "States",
    "StoreUnavailableError",
    "UnknownStateError",
    "new_sketch",
    "without_secrets",
]


class RequestStore(Backlog, Leases, Retention, ABC):
    """Keeps requests; every change of state is one atomic compare-and-set.

    What a method has returned is durable. Several processes, each with its own instance, work on one store.

    Times are seconds since the epoch by one clock, that of the store: it fills `last_modified`,
    `status_history`, `lease_until` and `not_before`, and judges leases, within the operation that needs it.

    Raises:
        StoreUnavailableError: By every method, when the store cannot be reached.
    """

    @cached_property
    def local_clock(self) -> LocalClock:
        """The store's time, as this process estimates it."""
        return LocalClock(self.clock)

    def while_open(self) -> AbstractAsyncContextManager[None]:
        """Keep :attr:`local_clock` up to date.

        Returns:
            The context in which it is compared with the store's clock.
        """
        return kept(self.local_clock)

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the store needs (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources; pending writes are finished first."""

    async def check(self) -> None:
        """Make sure that the store answers.

        Raises:
            StoreUnavailableError: It does not.
        """
        await self.get("")

    @abstractmethod
    async def clock(self) -> float:
        """Read the store's clock.

        Returns:
            The time in seconds since the epoch.
        """

    @abstractmethod
    async def add(self, request: Request) -> None:
        """Store a new request.

        Args:
            request: The request, in its first state.

        Raises:
            DuplicateRequestError: Its id is taken.
        """

    @abstractmethod
    async def get(self, request_id: str) -> Request | None:
        """Read a request.

        Args:
            request_id: The id of the request.

        Returns:
            The request; None if there is none of that id.
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
        """Read all requests that fulfil the conditions, at once in memory: for tests and operators. See
        :meth:`pages`.

        Args:
            user_id: The owner; None for any.
            collection: The collection; None for any.
            statuses: The states; None for any.
            limit: How many to return at most; None for all.

        Returns:
            The requests, in the order of submission.
        """

    @abstractmethod
    async def page(self, selection: Selection) -> Page:
        """Read one page of a selection.

        Costs the same however many requests there are: before the selection, in it, and of other users.

        Args:
            selection: What to read, and where to begin.

        Returns:
            The first :data:`PAGE` requests of the selection, or fewer with :data:`PAGE_SIZE` characters.
        """

    async def pages(self, selection: Selection) -> AsyncIterator[list[Request]]:
        """Read a selection page by page. What changes meanwhile may be seen as it was before or after.

        Args:
            selection: What to read, and where to begin.

        Returns:
            The requests of each page that has some.
        """
        after: int | None = selection.after
        while after is not None:
            requests, after = await self.page(replace(selection, after=after))
            if requests:
                yield requests

    @abstractmethod
    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        """Find a place in a selection. Costs no more than to count the requests that are newer.

        Args:
            selection: In what to look.
            newer: How many of the newest requests to pass over.

        Returns:
            The place of the next request; None if there are no more.
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
        """Count requests that fulfil all the conditions.

        Args:
            user_id: The owner; None for any.
            collection: The collection; None for any. Needs a user.
            statuses: The states; None for any.
            limit: Where to stop counting, at least 1; None to count all.

        Returns:
            The number of requests, `limit` at most.
        """

    @abstractmethod
    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        """Sum up the texts of a user's requests.

        Args:
            user_id: The owner.
            statuses: The states of the requests that count.

        Returns:
            The bytes: the sum of :attr:`Request.text_size`.
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
        """Change the state of a request by compare-and-set.

        `last_modified` is set, and `status_history` for the first entry into a state. `sealed` is removed
        with the entry into a state that is never left (see :func:`without_secrets`).

        Args:
            request_id: The id of the request.
            expect: The state in which it must be.
            attempt: The attempt at which it must be.
            to: The state that it enters.
            delay: After how many seconds it may be chosen again: sets `not_before`.
            changes: Further fields of :class:`Request` to set in the same step.

        Returns:
            The changed request; None, and nothing is changed, if it is gone, in another state or another
            attempt.

        Raises:
            ~polytope_server.request.IllegalTransitionError: There is no such transition.
        """

    @abstractmethod
    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        """Delete a request, atomically, if it fulfils the conditions.

        Args:
            request_id: The id of the request.
            user_id: The owner that it must have; None for any.
            statuses: The states in which it may be; None for any.

        Returns:
            The request that was deleted; None if there was none.
        """

    @abstractmethod
    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        """Delete the first :data:`PAGE` requests of a selection, each atomically if it is still in it.

        Args:
            selection: What to delete, and where to begin.

        Returns:
            Those that were removed, and the place after which to go on, as :class:`Page` has it.
        """

    async def remove_all(self, user_id: str, statuses: Collection[Status]) -> AsyncIterator[list[Removed]]:
        """Delete the requests of a user that are in some states now. What is submitted meanwhile stays.

        Args:
            user_id: The owner.
            statuses: The states. A request that leaves them before its turn stays.

        Returns:
            What was removed, in parts.
        """
        selection = Selection(user_id, statuses)
        last = await self.place(selection)
        after: int | None = selection.after
        while last is not None and after is not None:
            removed, after = await self.remove_page(replace(selection, after=after, until=last))
            yield removed
