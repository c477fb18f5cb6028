"""Notes in the request store which results were downloaded, for the garbage collector to choose by."""

from __future__ import annotations

import asyncio
from itertools import islice

from cachetools import LRUCache

from polytope_server.request_store import RequestStore, StoreUnavailableError

#: Seconds between two writes.
_INTERVAL = 5.0
#: Requests in one write; those that wait for it at most, and those that are known to be noted already.
_BATCH, _MOST, _NOTED = 500, 20_000, 20_000


class DownloadMarks:
    """Collects the requests whose results were downloaded, and notes many of them at a time.

    Downloads wait for nothing. What is lost with a process does little harm: that result is spared longer.
    """

    def __init__(self, store: RequestStore) -> None:
        self._store = store
        self._waiting: dict[str, None] = {}
        self._noted: LRUCache[str, None] = LRUCache(_NOTED)

    def add(self, request_id: str) -> None:
        """The result of this request was downloaded."""
        if request_id in self._noted:
            return
        self._waiting[request_id] = None
        if len(self._waiting) > _MOST:  # the store is away
            del self._waiting[next(iter(self._waiting))]

    async def run(self) -> None:
        """Write from time to time, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.write()

    async def write(self) -> None:
        """Write all that waits; if the store cannot be reached it waits for the next time."""
        while some := list(islice(self._waiting, _BATCH)):
            try:
                await self._store.mark_downloaded(some)
            except StoreUnavailableError:
                return
            for request_id in some:
                self._waiting.pop(request_id, None)
                self._noted[request_id] = None
