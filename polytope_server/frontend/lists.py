"""The lists of a user's requests, read page by page.

However many requests a user has, a list holds two pages of them in memory, and the event loop for no longer
than a page takes. What is longer than a page takes turns with other long work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from polytope_server.frontend.background import BackgroundWork
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.request import LIVE, TERMINAL, Request
from polytope_server.request_store import RequestStore, Selection
from polytope_server.user import User

#: Lists of one user that one process sends at a time.
AT_ONCE = 4
#: Seconds that a further list waits for its turn.
_WAIT = 10.0
#: Requests are counted up to this number.
_COUNTED = 1_000_000

#: Encodes a page of requests, in the turn in which the page is read: that takes as long as reading does.
Encode = Callable[[Sequence[Request]], str]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of requests.

    `total` is the number of requests that the user has, None on further pages. `following` is where the
    requests that ended before those of this list begin (`before` of another list), None if there are none.
    `pages` are the requests in the order of submission, encoded; no page is empty.
    """

    total: int | None
    following: int | None
    pages: AsyncIterator[str]


class Lists:
    """Reads the lists of requests of users."""

    def __init__(self, store: RequestStore, background: BackgroundWork, ended: int) -> None:
        """`ended` is how many requests that have ended a list shows."""
        self._store = store
        self._background = background
        self._ended = ended
        #: Seconds that a list waits for its turn.
        self.wait = _WAIT
        self._sending: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def begin(self, user: User) -> Callable[[], None]:
        """A place among the lists of this user; returns what releases it.

        Raises RefusedError if the user asks for too many lists at the same time.
        """
        sending = self._sending.setdefault(user.id, asyncio.Semaphore(AT_ONCE))
        try:
            async with asyncio.timeout(self.wait):
                await sending.acquire()
        except TimeoutError:
            reason = f"You are being sent {AT_ONCE} lists of requests already"
            raise RefusedError(Kind.TOO_MANY, reason) from None
        return sending.release

    async def read(self, user: User, collection: str | None, before: int | None, encode: Encode) -> Listing:
        """The user's requests, of that collection if one is given, and `before` that place.

        A list without `before` has those that have not ended, and the newest that have.
        """
        ended = Selection(user.id, TERMINAL, collection, until=before)
        cut = await self._store.place(ended, self._ended)
        if before is not None:
            return Listing(None, cut, self._read_pages([replace(ended, after=cut or 0)], encode))
        total = await self._store.count(user_id=user.id, collection=collection, limit=_COUNTED)
        newer = Selection(user.id, collection=collection, after=cut or 0)
        parts = [newer] if cut is None else [Selection(user.id, LIVE, collection, until=cut), newer]
        return Listing(total, cut, self._read_pages(parts, encode))

    async def _read_pages(self, parts: list[Selection], encode: Encode) -> AsyncIterator[str]:
        """The pages of all parts, encoded. All but the first take turns with other long work."""
        turn: AbstractAsyncContextManager[None] = nullcontext()
        for part in parts:
            after: int | None = part.after
            while after is not None:
                async with turn:
                    requests, after = await self._store.page(replace(part, after=after))
                    page = encode(requests)
                if page:
                    yield page
                turn = self._background.step(part.user_id)
