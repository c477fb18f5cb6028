"""Polls: a user's request, read or waited for."""

from __future__ import annotations

import asyncio
import time

from polytope_server.frontend.waiters import Waiters, wait
from polytope_server.request import TERMINAL, Request, Status
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.request_store.retention import Tombstone
from polytope_server.staging.names import is_request_id
from polytope_server.user import User

#: Between two attempts to reach the store, while a poll is held.
_PAUSE = 0.25
#: Seconds that a poll of a request which was submitted here just now waits for its end before it reads.
_FIRST_WAIT = 1.0


class Polling:
    """Finds requests for their owners. Another user's request looks like one that does not exist."""

    def __init__(
        self, store: RequestStore, waiters: Waiters, poll_wait: float, *, first_wait: float = _FIRST_WAIT
    ) -> None:
        """`poll_wait` is the longest time that a poll is held, `first_wait` that before its first read."""
        self._store = store
        self._waiters = waiters
        self._poll_wait = poll_wait
        self._first_wait = first_wait

    async def find(self, user: User, request_id: str) -> Request | None:
        """The user's request of that id as it is now, None if there is none."""
        return await self._read_own(user, request_id) if is_request_id(request_id) else None

    async def poll(self, user: User, request_id: str, preferred: float | None = None) -> Request | None:
        """As :meth:`find`, once the request has ended or the poll was held for its longest time.

        That is the configured time, or the `preferred` one if it is less.
        Raises StoreUnavailableError if the store cannot be reached until then.
        """
        if not is_request_id(request_id):
            return None
        seconds = self._poll_wait if preferred is None else min(self._poll_wait, preferred)
        if seconds <= 0:
            return await self._read_own(user, request_id)
        until = time.monotonic() + seconds
        with self._waiters.watch(request_id) as ended:
            if self._waiters.is_fresh(request_id, user):
                # PERF: what would be read is known. A lost notice costs this second.
                await wait(ended, min(seconds, self._first_wait))
            request = await self._find_until(user, request_id, until)
            if request is None or request.status in TERMINAL or request.status is Status.UPLOADING:
                return request
            await wait(ended, until - time.monotonic())
        return await self._find_until(user, request_id, until)

    async def _find_until(self, user: User, request_id: str, until: float) -> Request | None:
        """As :meth:`_read_own`; if the store cannot be reached, try again until then.

        The poll is held meanwhile: `polytope-client` does nothing for two minutes after a 503.
        """
        while True:
            try:
                return await self._read_own(user, request_id)
            except StoreUnavailableError:
                if time.monotonic() + _PAUSE >= until or self._waiters.released:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _read_own(self, user: User, request_id: str) -> Request | None:
        request = await self._store.get(request_id)
        return request if request is not None and request.user.id == user.id else None

    async def tombstone(self, user: User, request_id: str) -> Tombstone | None:
        """What is left of the user's request of that id if the garbage collector has removed it.

        To be called wherever a request is not found: the answer to other users then takes the same time,
        whether there is such a request, was one, or neither.
        """
        if not is_request_id(request_id):
            return None
        return await self._store.tombstone(request_id, user.id)
