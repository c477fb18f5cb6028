"""Polls that are held until their request ends. A held poll costs one future, and no look into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cachetools import TTLCache

from polytope_server.notices import Notice
from polytope_server.request import Request
from polytope_server.user import User

Ended = asyncio.Future[None]

#: How many requests are remembered as submitted just now, and for how many seconds.
_FRESH, _FRESH_TIME = 10_000, 2.0


class Waiters:
    """Who waits for which request, in this process."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Ended]] = {}
        self._fresh: TTLCache[str, str] = TTLCache(_FRESH, _FRESH_TIME)
        #: Whether this process is about to stop: nothing is to be waited for any more.
        self.released = False

    def submitted(self, request: Request) -> None:
        """This process has just stored a request, whose id no client knows yet."""
        self._fresh[request.id] = request.user.id

    def is_fresh(self, request_id: str, user: User) -> bool:
        """Whether that request of that user was submitted here just now, and no notice of its end came.

        There is then little to read in the store; but a notice may have been lost.
        """
        return self._fresh.get(request_id) == user.id

    @contextmanager
    def watch(self, request_id: str) -> Iterator[Ended]:
        """A future that is done when the request ends or is removed.

        Begin to watch before reading the request's state: then no end in between is missed.
        """
        ended: Ended = asyncio.get_running_loop().create_future()
        if self.released:
            ended.set_result(None)
        waiting = self._waiting.setdefault(request_id, set())
        waiting.add(ended)
        try:
            yield ended
        finally:
            waiting.discard(ended)
            if not waiting:
                self._waiting.pop(request_id, None)

    def on_notice(self, notice: Notice) -> None:
        """A request ended or was removed."""
        self._fresh.pop(notice.request_id, None)
        for ended in self._waiting.get(notice.request_id, ()):
            if not ended.done():
                ended.set_result(None)

    def release(self) -> None:
        """Let all go, now and from now on: this process is about to stop."""
        self.released = True
        for waiting in self._waiting.values():
            for ended in waiting:
                if not ended.done():
                    ended.set_result(None)


async def wait(ended: Ended, seconds: float) -> None:
    """Wait until the request has ended, at most this many seconds."""
    await asyncio.wait([ended], timeout=seconds)
