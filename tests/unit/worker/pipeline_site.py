"""A broker and a worker in one event loop, on the embedded back-ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from polytope_server.broker import composition as broker_composition
from polytope_server.broker.broker import Broker
from polytope_server.config import load
from polytope_server.notices import Topic
from polytope_server.request import TERMINAL, Request
from polytope_server.user import User
from polytope_server.worker import composition as worker_composition
from polytope_server.worker.fork_server import ForkServer
from polytope_server.worker.worker import Worker
from testbed.server import CONFIG

USER = User("alice", "test")

SETTINGS: dict[str, Any] = {
    **CONFIG,
    "worker": {"concurrency": 2, "lease": 0.6, "retry_delay": 0.01, "max_attempts": 2, "grace": 5},
    "broker": {"interval": 0.2, "lease": 0.6},
}


class Site:
    """A broker and a worker in this process, with the stores of the worker at hand."""

    def __init__(self, data: Path, **sections: Any) -> None:
        self.data = data
        file = data / "config.yaml"
        file.write_text(yaml.safe_dump({**SETTINGS, **sections}))
        self.configuration = load([file])
        self.parts = worker_composition.make_parts(self.configuration, data, ForkServer())
        self.worker = Worker(self.configuration.settings, self.configuration.collections, self.parts)
        self.broker_parts = broker_composition.make_parts(self.configuration, data)
        self.broker = Broker(self.configuration.settings, self.configuration.collections, self.broker_parts)
        self.store, self.staging = self.parts.store, self.parts.staging
        self.stop, self.broker_stop = asyncio.Event(), asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.tasks.append(asyncio.create_task(self.broker.serve(self.broker_stop)))
        self.tasks.append(asyncio.create_task(self.worker.serve(self.stop)))

    async def end(self) -> None:
        self.broker_stop.set()
        self.stop.set()
        await asyncio.gather(*self.tasks)

    def works_on(self, request_id: str) -> bool:
        """Whether the worker works on a request."""
        return any(claim[0] == request_id for claim in self.worker.claims.all())

    async def submit(self, source: str, text: str = "hello", collection: str = "", **fields: Any) -> str:
        fields = {"coerced_request": {"data": text}, **fields}
        request = Request(USER, collection or source, user_request=text, datasource=source, **fields)
        await self.store.add(request)
        self.parts.notices.publish(Topic.WAITING, request.id)
        return request.id

    async def ended(self, request_id: str) -> Request:
        async with asyncio.timeout(30):
            while True:
                request = await self.store.get(request_id)
                assert request is not None
                if request.status in TERMINAL:
                    return request
                await asyncio.sleep(0.005)
