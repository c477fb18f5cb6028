"""A process that serves no REST API, with its management port."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

from polytope_server.runtime.management.health import Health
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.runtime.management.server import Management


class Work(Protocol):
    """The work of such a process, with its health and metrics."""

    health: Health

    @property
    def metrics(self) -> Metrics:
        """What it counts."""

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and finish what was begun."""


async def serve(work: Work, listener: socket.socket | None, stop: asyncio.Event) -> None:
    """Do the work, and answer on `listener` until it has ended; unready from the moment `stop` is set."""
    management = Management(listener, work.health, work.metrics, stop.is_set)
    await management.open()
    try:
        await work.serve(stop)
    finally:
        await management.close()
