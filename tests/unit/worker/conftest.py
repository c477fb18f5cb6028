"""The broker and the worker that tests of both share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pipeline_site import Site

from polytope_server.testing.waiting import until
from polytope_server.worker.fork_server import ForkServer


@pytest.fixture
async def fork_server() -> AsyncIterator[ForkServer]:
    server = ForkServer()
    yield server
    await server.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    await site.store.open()
    site.start()
    await until(site.parts.children.living)
    yield site
    await site.end()
    await site.store.close()
