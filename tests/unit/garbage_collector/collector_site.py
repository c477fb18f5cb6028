"""A collector for tests, with stores that are filled by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from polytope_server.config import Configuration
from polytope_server.garbage_collector.collector import GarbageCollector
from polytope_server.garbage_collector.composition import make_parts
from polytope_server.garbage_collector.metrics import CollectorMetrics
from polytope_server.garbage_collector.removal import Remover
from polytope_server.request import Request, Status
from polytope_server.settings import Settings
from polytope_server.staging.names import new_object_name
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
        parts = make_parts(configuration, data)
        self.store, self.staging, self.metrics = parts.store, parts.staging, parts.metric_store
        self.collector = GarbageCollector(configuration.settings, parts)
        self.remover = Remover(self.store, self.staging, CollectorMetrics(), tombstones=10)

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
        """Why the request was removed, as its owner reads it."""
        found = await self.store.tombstone(request_id, USER.id)
        assert found is not None
        return found.reason

    def metric(self, name: str) -> float:
        """The value of a metric of the collector, by its name without `polytope_`."""
        families = text_string_to_metric_families(self.collector.metrics.text().decode())
        (value,) = (
            sample.value for one in families for sample in one.samples if sample.name == f"polytope_{name}"
        )
        return value

    async def __aenter__(self) -> Self:
        for part in (self.store, self.staging, self.metrics):
            await part.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self.store, self.staging, self.metrics):
            await part.close()
