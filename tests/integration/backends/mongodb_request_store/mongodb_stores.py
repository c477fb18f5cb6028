"""Request stores on MongoDB for tests."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo.collection import Collection

from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.request_store.mongodb import MongoDBRequestStore, MongoDBRequestStoreSettings
from polytope_server.testing.request_store import make
from testbed.services import MongoDB

logger = logging.getLogger(__name__)
Connect = Callable[[], Awaitable[MongoDBRequestStore]]
Documents = Collection[dict[str, Any]]


def build(service: MongoDB, **keys: str) -> MongoDBRequestStore:
    return MongoDBRequestStore(MongoDBRequestStoreSettings(uri=service.uri, **keys), Path())


def collection() -> str:
    return f"requests-{uuid4().hex[:8]}"


async def works(store: RequestStore, seconds: float = 10) -> None:
    """Wait until the store can be written, and no longer than `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await store.add(make())
            except StoreUnavailableError:
                await asyncio.sleep(0.05)


class Traffic:
    """Requests that are taken from waiting to processed, one after the other."""

    def __init__(self, store: RequestStore) -> None:
        self._store = store
        self.done: set[str] = set()
        self.refused = 0
        self.longest = 0.0
        self.stop = False

    async def work(self) -> None:
        while not self.stop:
            began = time.monotonic()
            try:
                self.done.add(await self._serve(make(status=Status.QUEUED)))
            except StoreUnavailableError:
                self.refused += 1
            self.longest = max(self.longest, time.monotonic() - began)

    async def _serve(self, request: Request) -> str:
        await self._store.add(request)
        (taken,) = await self._store.claim([request.id], "w", 60)
        changed = await self._store.transition(request.id, Status.PROCESSING, taken.attempt, Status.PROCESSED)
        assert changed is not None
        return request.id

    async def progress(self, number: int, seconds: float = 60) -> None:
        """Wait until that many more requests were served."""
        goal = len(self.done) + number
        async with asyncio.timeout(seconds):
            while len(self.done) < goal:  # noqa: ASYNC110 -- no event of each
                await asyncio.sleep(0.01)
