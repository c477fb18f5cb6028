"""Requests of one user, read and removed page by page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from polytope_server.request import Request, Status

#: Requests of a page, and characters of their texts: these are read and encoded in a few milliseconds.
PAGE, PAGE_SIZE = 100, 256 << 10


@dataclass(frozen=True, slots=True)
class Selection:
    """Requests of one user: in those states, of that collection if one is given.

    A request's place is a number that grows in the order of submission, as far as the clocks of those that
    store requests agree. The selection has the places after `after`, up to `until`.
    """

    user_id: str
    statuses: Collection[Status] = frozenset(Status)
    collection: str | None = None
    after: int = 0
    until: int | None = None


class Page(NamedTuple):
    """The first requests of a selection, in the order of submission.

    The rest of it comes after the place `after`, which is None if there is no rest.
    """

    requests: list[Request]
    after: int | None


class Removed(NamedTuple):
    """What is left of a request that was removed.

    `status` is its last one, `staged` the name of its object in staging, empty if it had none.
    """

    id: str
    collection: str
    status: Status
    staged: str


class Paging(ABC):
    """The part of a request store that reads and removes a user's requests page by page."""

    @abstractmethod
    async def page(self, selection: Selection) -> Page:
        """The first :data:`PAGE` requests of the selection, or fewer with :data:`PAGE_SIZE` characters.

        Costs the same however many requests there are: before the selection, in it, and of other users.

        Args:
            selection: The requests to read.

        Returns:
            The page, and the place after which the next one starts.

        Raises:
            StoreUnavailableError: The store cannot be reached.
            UnknownStateError: A request is in a state of a later version.
        """

    async def pages(self, selection: Selection) -> AsyncIterator[list[Request]]:
        """The selection page by page; what changes meanwhile may be seen as it was before or after.

        Args:
            selection: The requests to read.

        Returns:
            The requests of each page that has any.
        """
        after: int | None = selection.after
        while after is not None:
            requests, after = await self.page(replace(selection, after=after))
            if requests:
                yield requests

    @abstractmethod
    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        """The place of one of the newest requests of the selection.

        Costs no more than to count those that are newer.

        Args:
            selection: The requests to choose from.
            newer: How many newer ones to skip.

        Returns:
            The place, None if there are no more than `newer` requests.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """

    @abstractmethod
    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        """Delete the first :data:`PAGE` requests of the selection, each atomically if it is still in it.

        Args:
            selection: The requests to remove.

        Returns:
            Those that were removed, and the place after which to go on, as :class:`Page` has it.

        Raises:
            StoreUnavailableError: The store cannot be reached; some may have been removed.
        """

    async def remove_all(self, user_id: str, statuses: Collection[Status]) -> AsyncIterator[list[Removed]]:
        """Delete the requests of a user that are in those states now; gives what was removed, in parts.

        Each is removed atomically, unless it has left those states before its turn. What is submitted
        meanwhile stays.

        Args:
            user_id: The owner.
            statuses: The states.

        Returns:
            What was removed, page by page.
        """
        selection = Selection(user_id, statuses)
        last = await self.place(selection)
        after: int | None = selection.after
        while last is not None and after is not None:
            removed, after = await self.remove_page(replace(selection, after=after, until=last))
            yield removed
