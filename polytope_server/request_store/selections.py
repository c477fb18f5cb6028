"""Requests of one user, read and removed page by page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
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
