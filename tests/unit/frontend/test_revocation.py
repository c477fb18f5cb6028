"""Revocations as the core knows them, without HTTP: what is removed, and who learns of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.frontend.services import Services
from polytope_server.notices import Topic
from polytope_server.request import LIVE, Request, Status
from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.names import new_object_name
from polytope_server.testing.requests import ALICE, BOB, make
from polytope_server.testing.staging import chunked
from testbed.frontend import frontend


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with frontend(tmp_path, {}) as one:
        yield one.services


@pytest.fixture
def announced(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that notices said were removed."""
    found: list[str] = []

    def publish(topic: Topic, *ids: str) -> None:
        assert topic is Topic.REMOVED
        found.extend(ids)

    monkeypatch.setattr(services.notices, "publish", publish)
    return found


async def store(services: Services, status: Status, **fields: object) -> Request:
    request = make(status=status, **fields)
    await services.store.add(request)
    return request


@pytest.mark.parametrize("status", Status)
async def test_owners_remove_their_requests_in_every_state(
    services: Services, announced: list[str], status: Status
) -> None:
    request = await store(services, status)
    assert await services.revocations.revoke(ALICE, request.id) == 1
    assert await services.store.get(request.id) is None
    assert announced == [request.id]


async def test_other_users_do_not(services: Services, announced: list[str]) -> None:
    request = await store(services, Status.WAITING)
    assert await services.revocations.revoke(BOB, request.id) == 0
    assert await services.revocations.revoke_all(BOB) == 0
    assert await services.store.get(request.id) is not None
    assert announced == []


@pytest.mark.parametrize("request_id", ["*", "0f8fad5b-d9cb-469f-a165-70867728950e"])
async def test_what_does_not_exist_is_not_removed(services: Services, request_id: str) -> None:
    assert await services.revocations.revoke(ALICE, request_id) == 0


async def test_all_are_those_that_have_not_ended(services: Services, announced: list[str]) -> None:
    requests = [await store(services, status) for status in Status]
    live = {request.id for request in requests if request.status in LIVE}
    assert await services.revocations.revoke_all(ALICE) == len(live)
    assert set(announced) == live
    left = [request.id for request in requests if await services.store.get(request.id) is not None]
    assert left == [request.id for request in requests if request.status not in LIVE]


async def test_the_result_goes_with_its_request(services: Services) -> None:
    request = await store(services, Status.PROCESSED, result="x")
    staged = await services.staging.create(new_object_name(request.id, ""), chunked([b"data"]), "a/b")
    await services.revocations.revoke(ALICE, request.id)
    assert not [found async for found in services.staging.list() if found.name == staged.name]


async def test_it_needs_no_staging(
    services: Services, announced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str) -> None:
        raise StagingUnavailableError("down")

    monkeypatch.setattr(services.staging, "delete_request", fail)
    request = await store(services, Status.PROCESSING)
    assert await services.revocations.revoke(ALICE, request.id) == 1
    assert announced == [request.id]
