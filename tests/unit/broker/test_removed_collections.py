"""Waiting requests of collections that were removed fail, some at a time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.removed_collections import RemovedCollections
from polytope_server.notices import Topic
from polytope_server.request import LIVE, Request, Status
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.testing.requests import make

#: More than fail in one turn.
MANY = 30


class Site:
    def __init__(self) -> None:
        self.store = MemoryRequestStore(MemoryRequestStoreSettings(), Path())
        self.published: list[tuple[Any, ...]] = []
        notices: Any = SimpleNamespace(publish=lambda *notice: self.published.append(notice))
        self.removed = RemovedCollections(
            *(self.store, notices, BrokerMetrics(["c"]), lambda collection: collection == "c")
        )

    async def add(self, collection: str) -> Request:
        request = make(collection=collection)
        await self.store.add(request)
        self.removed.note(await self.store.summaries([Status.WAITING], [request.id]))
        return request


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_request_of_a_removed_collection_fails_and_others_wait(site: Site) -> None:
    kept, gone = await site.add("c"), await site.add("d")
    assert not await site.removed.fail_some()
    (failed,) = await site.store.find(statuses=[Status.FAILED])
    assert (failed.id, failed.user_message) == (gone.id, "The collection d is no longer available.")
    assert [request.id for request in await site.store.find(statuses=LIVE)] == [kept.id]
    assert site.published == [(Topic.ENDED, gone.id)]


async def test_of_many_some_fail_at_a_time(site: Site) -> None:
    for _ in range(MANY):
        await site.add("d")
    assert await site.removed.fail_some()
    assert 0 < await site.store.count(statuses=[Status.FAILED]) < MANY
    assert not await site.removed.fail_some()
    assert await site.store.count(statuses=[Status.FAILED]) == MANY


async def test_a_request_that_was_revoked_is_let_alone(site: Site) -> None:
    revoked = await site.add("d")
    site.removed.forget(revoked.id)
    assert not await site.removed.fail_some()
    assert site.published == []
    assert await site.store.count(statuses=[Status.WAITING]) == 1
