"""An authentication with stubs for its back-ends, and a clock that the test sets."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
from log_ins import (
    FULL,
    STUBS,
    Cache,
    Clock,
    Open,
    Stub,
    StubAuthorizer,
)

from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.manager import Authentication
from polytope_server.settings import backends
from polytope_server.settings.root import Settings


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    load = backends.load
    monkeypatch.setattr(backends, "load", lambda *names: STUBS.get(names) or load(*names))
    for attribute, value in {"calls": 0, "down": False, "until": math.inf}.items():
        monkeypatch.setattr(Stub, attribute, value)
    monkeypatch.setattr(StubAuthorizer, "granted", ())
    monkeypatch.setattr(StubAuthorizer, "down", False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Cache:
    return Cache(tmp_path, clock)


@pytest.fixture
async def open_(tmp_path: Path, cache: Cache, clock: Clock, stubs: None) -> AsyncIterator[Open]:
    opened = []

    async def open_(
        authentication: dict[str, Any] | None = None, needed: Collection[str] = (), **others: Any
    ) -> Authentication:
        settings = Settings.model_validate(
            {"authentication": FULL if authentication is None else authentication, **others}
        )
        manager = create_authentication(settings, tmp_path, cache, needed, clock=clock)
        await manager.open()
        opened.append(manager)
        return manager

    yield open_
    for manager in opened:
        await manager.close()
