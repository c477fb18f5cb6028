"""What is taken for an orphan, and what stops the collector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from collector_site import DAY, HOUR, Site

from polytope_server.garbage_collector import survey as surveys
from polytope_server.request import Status
from polytope_server.staging import StagingUnavailableError


async def fill(site: Site, owned: int, orphans: int) -> set[str]:
    """That many objects with a request, and without one, all old; the names of the latter."""
    for _ in range(owned):
        await site.add(Status.PROCESSED, 2 * HOUR, size=1)
    return {await site.put(f"orphan-{number}", 1, 2 * HOUR) for number in range(orphans)}


async def test_if_most_objects_are_orphans_none_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Site(tmp_path) as site:
        orphans = await fill(site, 10, 11)
        await site.collector.collect()
        assert orphans <= await site.objects()
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "11 of 21 objects" in caplog.text
        assert "garbage-collector.orphan_share (0.5)" in caplog.text
        assert (site.metric("garbage_stopped"), site.metric("staging_orphans")) == (1, 11)
        assert site.metric("garbage_last_success_timestamp_seconds") == 0
        assert len(await site.requests()) == 10


async def test_it_stops_on_a_store_that_is_empty_by_mistake(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        await fill(site, 21, 0)
        before = await site.objects()
        for request_id in await site.requests():
            await site.store.remove(request_id)
        await site.collector.collect()
        assert await site.objects() == before


async def test_no_room_is_made_by_a_store_that_is_the_wrong_one(tmp_path: Path) -> None:
    async with Site(tmp_path, threshold=1, undownloaded_age=0) as site:
        await fill(site, 10, 30)
        await site.collector.collect()
        assert len(await site.requests()) == 10


@pytest.mark.parametrize(("owned", "orphans", "share"), [(10, 10, 0.5), (0, 25, 1), (1, 19, 0.5)])
async def test_a_share_that_is_allowed_is_removed(
    tmp_path: Path, owned: int, orphans: int, share: float
) -> None:
    async with Site(tmp_path, orphan_share=share) as site:
        assert await fill(site, owned, orphans) <= await site.objects()
        await site.collector.collect()
        assert len(await site.objects()) == owned
        assert site.metric("garbage_stopped") == 0


async def test_young_objects_are_no_orphans(tmp_path: Path) -> None:
    async with Site(tmp_path, orphan_age="2h") as site:
        young = await site.put("r1", 1, 1.5 * HOUR)
        both = {await site.put("r2", 1, 0.0), await site.put("r2", 1, 9 * HOUR)}
        await site.put("r3", 1, 3 * HOUR)
        await site.collector.collect()
        assert await site.objects() == {young, *both}


async def test_what_one_pass_does_not_remove_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_MOST", 3)
    monkeypatch.setattr(surveys, "_BATCH", 2)
    async with Site(tmp_path, orphan_share=1) as site:
        await fill(site, 0, 5)
        await site.collector.collect()
        assert len(await site.objects()) == 2
        await site.collector.collect()
        assert await site.objects() == set()


async def test_while_the_staging_is_away_nothing_becomes_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise StagingUnavailableError("away")

    async with Site(tmp_path) as site:
        old = await site.add(Status.PROCESSED, 2 * DAY, size=1)
        with monkeypatch.context() as patch:
            patch.setattr(site.staging, "check", away)
            await site.collector.collect()
        assert await site.requests() == {old}
        await site.collector.collect()
        assert await site.requests() == set()


async def test_what_cannot_be_removed_does_not_hold_a_pass_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: Any) -> set[str]:
        return set()

    async with Site(tmp_path) as site:
        await site.add(Status.FAILED, 2 * DAY)
        uploading = await site.add(Status.UPLOADING, 2 * DAY)
        with monkeypatch.context() as patch:
            patch.setattr(site.store, "bury", stuck)
            await site.collector.collect()
        assert uploading in await site.requests()
