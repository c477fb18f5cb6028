"""The request store: where the truth about requests lives (invariants 1 to 4 of docs/architecture.md)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any

from polytope_server.request import Request, Status
from polytope_server.request_store.clock import LocalClock, kept
from polytope_server.request_store.errors import (
    DuplicateRequestError,
    StoreUnavailableError,
    UnknownStateError,
)
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


class RequestStore(Retention, ABC):
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
        """The context in which that estimate is compared with this machine's clock, and kept up to date."""
        return kept(self.local_clock)

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the store needs (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources; pending writes are finished first."""

    async def check(self) -> None:
        """Return if the store answers."""
        await self.get("")

    @abstractmethod
    async def clock(self) -> float:
        """The store's time, in seconds since the epoch."""

    @abstractmethod
    async def add(self, request: Request) -> None:
        """Store a new request. Raises :class:`DuplicateRequestError` if its id is taken."""

    @abstractmethod
    async def get(self, request_id: str) -> Request | None:
        """The request of that id, None if there is none."""

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
        """

    @abstractmethod
    async def page(self, selection: Selection) -> Page:
        """The first :data:`PAGE` requests of the selection, or fewer with :data:`PAGE_SIZE` characters.

        Costs the same however many requests there are: before the selection, in it, and of other users.
        """

    async def pages(self, selection: Selection) -> AsyncIterator[list[Request]]:
        """The selection page by page; what changes meanwhile may be seen as it was before or after."""
        after: int | None = selection.after
        while after is not None:
            requests, after = await self.page(replace(selection, after=after))
            if requests:
                yield requests

    @abstractmethod
    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        """The place of the newest request of the selection after those `newer`; None if there are no more.

        Costs no more than to count those that are newer.
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
        """How many requests fulfil all the conditions given, up to `limit` (at least 1), where that ends.

        `collection` needs a user.
        """

    @abstractmethod
    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        """Bytes of the texts of a user's requests in those states: the sum of :attr:`Request.text_size`."""

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

        `changes` are further fields of :class:`Request` to set in the same step; with `delay`, `not_before`
        is set to the time in `delay` seconds. `last_modified` is set, and `status_history` for the first
        entry into a state; `sealed` is removed with the entry into a state that is never left (see
        :func:`without_secrets`). Returns the changed request, None if the request is gone or stands elsewhere
        (nothing is changed then). Raises :class:`~polytope_server.request.IllegalTransitionError` for a step
        outside the table.
        """

    @abstractmethod
    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        """Take those of the requests that are waiting to queued; returns their ids.

        Does nothing, and returns an empty set, unless `leader` holds the lease `broker` in that `term`: a
        broker that lost its lead cannot exceed a limit.
        """

    @abstractmethod
    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        """Take those of the requests that are queued to processing, for `worker`, for `lease` seconds.

        Adds 1 to `attempt`. Returns the claimed requests. A claim that was not answered, because the store
        cannot be reached, may be there all the same: the request then names this `worker`.
        """

    @abstractmethod
    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        """Extend the leases of the (id, attempt) pairs that `worker` holds; returns the ids still held."""

    @abstractmethod
    async def expired(self, limit: int) -> list[Request]:
        """At most `limit` requests in processing whose lease has ended, in the order in which that was."""

    @abstractmethod
    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        """:meth:`transition` from processing, if the lease of that attempt has ended.

        That is judged in the same operation: a worker that renews in time keeps its request.
        """

    @abstractmethod
    async def sketches(self, statuses: Collection[Status], request_ids: Sequence[str]) -> list[Sketch]:
        """Sketches of those of the requests that are in those states, in order of submission."""

    @abstractmethod
    async def active(self, after: int, limit: int) -> list[Sketch]:
        """A slice of the queued and processing requests: see :meth:`waiting`, without an end."""

    @abstractmethod
    async def waiting(self, after: int, until: int | None, limit: int) -> list[Sketch]:
        """A slice of the waiting requests: the first ones with `after` < sequence <= `until` (None: no end).

        In order of submission. An empty slice is the last; each other goes on after the sequence of the one
        before. Requests of the same sequence are never in two slices, so that there may be fewer than
        `limit`, and more if there are more of one sequence. To be read from an index in that order: the
        cost does not grow with what else is stored.
        """

    @abstractmethod
    async def digest(self, after: int, until: int, limit: int) -> Digest:
        """The digest of the waiting requests with `after` < sequence <= `until`, the first `limit` of them.

        To be read from an index alone.
        """

    @abstractmethod
    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        """Delete a request if it fulfils the conditions, atomically; returns it, None if nothing matched."""

    @abstractmethod
    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        """Delete the first :data:`PAGE` requests of the selection, each atomically if it is still in it.

        Returns those that were removed, and the place after which to go on, as :class:`Page` has it.
        """

    async def remove_all(self, user_id: str, statuses: Collection[Status]) -> AsyncIterator[list[Removed]]:
        """Delete the requests of a user that are in those states now; gives what was removed, in parts.

        Each is removed atomically, unless it has left those states before its turn. What is submitted
        meanwhile stays.
        """
        selection = Selection(user_id, statuses)
        last = await self.place(selection)
        after: int | None = selection.after
        while last is not None and after is not None:
            removed, after = await self.remove_page(replace(selection, after=after, until=last))
            yield removed

    @abstractmethod
    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the named lease for `holder`.

        Returns the term (a number that grows with each change of holder), None while another holds it.
        """

    @abstractmethod
    async def resign(self, name: str, holder: str) -> None:
        """Give the named lease back, if `holder` has it."""

    @abstractmethod
    async def wipe(self) -> None:
        """Delete everything. For tests and operators."""
