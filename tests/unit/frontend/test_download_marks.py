"""Which results were downloaded is noted in the store, behind the downloads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import falcon.asgi
import falcon.testing
import pytest
import yaml

from polytope_server.config import load
from polytope_server.frontend import download_marks
from polytope_server.frontend.composition import compose
from polytope_server.frontend.download_marks import DownloadMarks
from polytope_server.frontend.services import Services
from polytope_server.frontend.uploads import noting_progress
from polytope_server.frontend.v1.downloads import DownloadResource
from polytope_server.request import Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.staging.names import new_object_name
from polytope_server.testing.requests import ALICE, make
from polytope_server.testing.staging import chunked
from testbed.server import CONFIG

HOUR = 3600.0


class Noted:
    """A store that keeps what was noted, unless it is away."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.away = False

    async def mark_downloaded(self, request_ids: list[str]) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        self.calls.append(list(request_ids))


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def marks(noted: Noted) -> DownloadMarks:
    return DownloadMarks(noted)  # type: ignore[arg-type]


async def test_downloads_are_noted_together_and_once(marks: DownloadMarks, noted: Noted) -> None:
    for request_id in ("a", "b", "a"):
        marks.add(request_id)
    assert noted.calls == []
    await marks.write()
    marks.add("b")
    await marks.write()
    assert noted.calls == [["a", "b"]]


async def test_while_the_store_is_away_they_wait(
    marks: DownloadMarks, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_marks, "_MOST", 3)
    monkeypatch.setattr(download_marks, "_BATCH", 2)
    noted.away = True
    for request_id in "abcde":
        marks.add(request_id)
        await marks.write()
    noted.away = False
    await marks.write()
    assert noted.calls == [["c", "d"], ["e"]]


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    services = compose(load([file]), tmp_path)
    await services.lifecycle.open()
    yield services
    await services.lifecycle.close()


async def aged(services: Services, status: Status) -> str:
    """A request of that state, some hours old; its id."""
    request = make(status=status, timestamp=time.time() - 2 * HOUR, content_length=4)
    await services.store.add(request)
    return request.id


async def downloaded(services: Services, *calls: tuple[str, dict[str, str]]) -> bool:
    """Whether a result counts as downloaded after these calls, each a method and its headers."""
    request_id = await aged(services, Status.PROCESSED)
    made = await services.staging.create(new_object_name(request_id, ""), chunked([b"data"]), "a/b")
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/{request_id}/{name}", DownloadResource(services))
    async with falcon.testing.ASGIConductor(app) as conductor:
        for method, headers in calls:
            await conductor.simulate_request(method, f"/{made.name}", headers=headers)
    await services.download_marks.write()
    found = await services.store.removable(ALICE.id, 9 * HOUR, 10)
    return [summary.id for summary in found] == [request_id]


async def test_a_download_to_the_end_is_noted(services: Services) -> None:
    assert await downloaded(services, ("GET", {}))


async def test_one_that_is_resumed_is_noted(services: Services) -> None:
    assert await downloaded(services, ("GET", {"Range": "bytes=0-1"}), ("GET", {"Range": "bytes=2-"}))


async def test_a_part_is_no_download(services: Services) -> None:
    assert not await downloaded(services, ("GET", {"Range": "bytes=0-2"}))


async def test_an_upload_that_goes_on_does_not_grow_old(services: Services) -> None:
    request_id = await aged(services, Status.UPLOADING)
    data = noting_progress(services.store, request_id, chunked([b"a", b"b"]), interval=0)
    assert [chunk async for chunk in data] == [b"a", b"b"]
    assert await services.store.stale(Status.UPLOADING, HOUR, 10) == []


async def test_an_upload_goes_on_while_the_store_is_away(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: str) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(services.store, "touch", away)
    data = noting_progress(services.store, "unknown", chunked([b"a"]), interval=0)
    assert [chunk async for chunk in data] == [b"a"]
