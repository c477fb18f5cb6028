"""What is removed, and what is not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from collector_site import DAY, HOUR, Site

from polytope_server.metric_store import RequestStatusChange
from polytope_server.request import Status, Upload
from polytope_server.request_store.retention import Reason
from polytope_server.staging import StagingUnavailableError


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def test_old_ended_requests_go_with_their_results(site: Site) -> None:
    old = [await site.add(Status.PROCESSED, 2 * DAY, size=5), await site.add(Status.FAILED, 2 * DAY)]
    young = await site.add(Status.PROCESSED, DAY / 2, size=5)
    await site.collector.collect()
    assert await site.requests() == {young}
    assert {name.partition("/")[0] for name in await site.objects()} == {young}
    assert [await site.reason(request_id) for request_id in old] == ["age", "age"]


async def test_live_requests_stay_however_old(site: Site) -> None:
    live = {await site.add(status, 9 * DAY) for status in (Status.WAITING, Status.QUEUED, Status.PROCESSING)}
    await site.collector.collect()
    assert await site.requests() == live


async def test_requests_that_never_got_their_upload_go(site: Site) -> None:
    old = await site.add(Status.UPLOADING, 2 * DAY)
    await site.collector.collect()
    assert await site.requests() == set()
    assert await site.reason(old) == "no upload"


async def test_an_upload_that_arrives_meanwhile_is_kept(site: Site) -> None:
    request_id = await site.add(Status.UPLOADING, 2 * DAY)
    found = await site.store.stale(Status.UPLOADING, DAY, 10)
    name = await site.put(request_id, 5)
    await site.store.transition(request_id, Status.UPLOADING, 0, Status.WAITING, input=Upload(name))
    # As it stood when the collector read it.
    assert await site.remover.remove(found, Status.UPLOADING, Reason.NO_UPLOAD) == []
    assert await site.objects() == {name}


async def test_objects_without_a_request_go(site: Site) -> None:
    kept = await site.add(Status.PROCESSED, size=5)
    await site.put("gone", 5, 2 * HOUR)
    await site.put("young", 5)
    await site.collector.collect()
    assert {name.partition("/")[0] for name in await site.objects()} == {kept, "young"}


async def test_what_an_overtaken_attempt_left_goes(site: Site) -> None:
    ended = await site.add(Status.PROCESSED, size=5)
    await site.put(ended, 7, 2 * HOUR)
    running = await site.add(Status.PROCESSING)
    await site.put(running, 1, 2 * HOUR)
    await site.put(running, 2, 2 * HOUR)
    await site.collector.collect()
    request = await site.store.get(ended)
    assert request is not None
    of_ended = {name for name in await site.objects() if name.startswith(ended)}
    assert of_ended == {request.result}
    assert len(await site.objects()) == 3


async def test_the_oldest_results_go_when_there_is_too_much(site: Site) -> None:
    ages = {age: await site.add(Status.PROCESSED, age * HOUR, size=400) for age in (4, 2, 3)}
    uploaded = await site.add(Status.WAITING, DAY / 2)
    await site.put(uploaded, 400, DAY / 2)
    await site.collector.collect()
    assert await site.requests() == {ages[2], ages[3], uploaded}
    assert await site.reason(ages[4]) == "space"


async def test_below_the_threshold_nothing_goes(site: Site) -> None:
    stays = {await site.add(Status.PROCESSED, size=400), await site.add(Status.PROCESSED, size=400)}
    await site.collector.collect()
    assert await site.requests() == stays


async def test_old_metrics_and_unfinished_files_go(site: Site) -> None:
    await site.metrics.add(RequestStatusChange("r", "u", "processed", time.time() - 2 * DAY))
    left = site.data / "staging" / "unfinished" / "left"
    left.write_bytes(b"x")
    os.utime(left, (1000, 1000))
    await site.collector.collect()
    assert await site.metrics.find() == []
    assert not left.exists()


@pytest.mark.parametrize(
    ("error", "traced"), [(RuntimeError("broken"), True), (StagingUnavailableError("S3 is away"), False)]
)
async def test_a_step_that_fails_does_not_stop_the_others(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    traced: bool,
) -> None:
    async def fail(_: float) -> int:
        raise error

    monkeypatch.setattr(site.staging, "abandoned", fail)
    await site.put("gone", 5, DAY)
    await site.collector.collect()
    assert await site.objects() == set()
    (record,) = caplog.records
    assert "_remove_unfinished failed" in record.message
    assert (record.exc_info is not None) == traced


async def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    site = Site(tmp_path, interval=0.001)
    stop = asyncio.Event()
    passes = 0

    async def count() -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            stop.set()

    site.collector.collect = count  # type: ignore[method-assign]
    await asyncio.wait_for(site.collector.serve(stop), 10)
    assert passes == 3
