"""Requests that the garbage collector has removed, without waiting until it does."""

from __future__ import annotations

import asyncio

from polytope_server.config import load
from polytope_server.request import Status
from polytope_server.request_store import RequestStore
from polytope_server.request_store.retention import Reason
from polytope_server.runtime.process import opened
from polytope_server.settings import create_backend
from polytope_server.staging import Staging
from testbed.server import StandaloneServer


def collect(server: StandaloneServer, request_id: str, reason: Reason = Reason.AGE) -> None:
    """Remove a request that has ended as the garbage collector of that server would."""
    asyncio.run(_collect(server, request_id, reason))


async def _collect(server: StandaloneServer, request_id: str, reason: Reason) -> None:
    configuration = load(server.files, environ=server.environment)
    settings = configuration.settings
    store: RequestStore = create_backend("request_store", settings.request_store, server.data)
    staging: Staging = create_backend("staging", settings.staging, server.data)
    stop = asyncio.Event()
    async with opened([store, staging], stop):
        removed = [await store.bury([request_id], status, reason) for status in Status]
        assert {request_id} in removed
        await staging.delete_request(request_id)
