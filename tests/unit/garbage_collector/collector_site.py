"""A collector for tests, with stores that are filled by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self

from polytope_server.config import Configuration
from polytope_server.garbage_collector.collector import GarbageCollector
from polytope_server.request import Request, Status
from polytope_server.settings import Settings
from polytope_server.staging import new_object_name
from polytope_server.testing.staging import chunked
from polytope_server.user import User

USER = User("alice", "r")
BOB = User("bob", "r")
HOUR, DAY = 3600.0, 86400.0


class Site:
    """A collector, and its stores filled by hand."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.data = data
        section = {"interval": 1, "age": "1d", "threshold": "1K", **settings}
        configuration = Configuration(Settings.model_validate({"garbage-collector": section}))
        self.collector = GarbageCollector(configuration, data)
        self.store, self.staging = self.collector._store, self.collector._staging
        self.metrics = self.collector._metric_store

    async def add(
        self, status: Status, age: float = 0.0, size: int | None = None, user: User = USER, **fields: Any
    ) -> str:
        """A request of that age, with a result of that size; returns its id."""
        request = Request(user, "c", status=status, timestamp=time.time() - age, **fields)
        if size is not None:
            request.result = await self.put(request.id, size, age)
            request.content_length = size
        await self.store.add(request)
        return request.id

    async def put(self, request_id: str, size: int, age: float = 0.0) -> str:
        made = await self.staging.create(new_object_name(request_id, ""), chunked([b"x" * size]), "a/b")
        then = time.time() - age
        os.utime(self.data / "staging" / "objects" / made.name, (then, then))
        return made.name

    async def requests(self) -> set[str]:
        return {request.id for request in await self.store.find()}

    async def objects(self) -> set[str]:
        return {found.name async for found in self.staging.list()}

    async def reason(self, request_id: str) -> str:
        """Why the request was removed, as its owner is told."""
        found = await self.store.tombstone(request_id, USER.id)
        assert found is not None
        return found.reason

    async def __aenter__(self) -> Self:
        for part in (self.store, self.staging, self.metrics):
            await part.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self.store, self.staging, self.metrics):
            await part.close()
