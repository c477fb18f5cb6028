"""What a data source says to the user: shown while the request is processed, and kept with its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_site import SETTINGS, Site

from polytope_server.datasource import Job
from polytope_server.request import Request, Status

SECTIONS: dict[str, Any] = {
    "datasources": {"a": {"type": "answering"}},
    "collections": {"a": {"roles": ["default"], "datasources": ["a"]}},
}


@pytest.fixture
async def site(tmp_path: Path, answering: None) -> AsyncIterator[Site]:
    site = Site(tmp_path, **SECTIONS, worker={**SETTINGS["worker"], "questions": 0})
    await site.store.open()
    site.start()
    yield site
    await site.end()
    await site.store.close()


async def read(site: Site, request_id: str) -> Request:
    found = await site.store.get(request_id)
    assert found is not None
    return found


async def test_notes_stay_and_progress_goes_with_the_end(site: Site, tmp_path: Path) -> None:
    over = tmp_path / "over"
    keys = {"notes": ["target has no effect."], "progress": "13 of 20 fields", "until": str(over)}
    request = await site.submit("a", coerced_request=keys)

    async def shown() -> None:
        message = ""
        while message != "13 of 20 fields\ntarget has no effect.":
            message = (await read(site, request)).user_message
            await asyncio.sleep(0.005)

    await asyncio.wait_for(shown(), 20)
    assert (await read(site, request)).status is Status.PROCESSING
    over.touch()
    ended = await site.ended(request)
    assert (ended.status, ended.user_message) == (Status.PROCESSED, "Success\ntarget has no effect.")


async def test_what_a_fast_request_says_needs_no_write_of_its_own(site: Site) -> None:
    ended = await site.ended(await site.submit("a", coerced_request={"notes": ["n"]}))
    assert ended.user_message == "Success\nn"
    assert list(ended.status_history) == ["waiting", "queued", "processing", "processed"]


async def test_notes_are_bounded_and_said_once(site: Site) -> None:
    notes = ["x" * 1000, "x" * 1000, *map(str, range(30))]
    ended = await site.ended(await site.submit("a", coerced_request={"notes": notes}))
    assert ended.user_message.splitlines() == ["Success", "x" * 500, *map(str, range(19))]


def test_a_job_without_a_worker_ignores_what_it_says() -> None:
    job = Job("id", "retrieve", "", {})
    job.note("a")
    job.progress("b")
