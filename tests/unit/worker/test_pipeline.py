"""Broker and worker together, on the embedded back-ends, in one event loop: what becomes of requests."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pipeline_site import SETTINGS, USER, Site

from polytope_server.notices import Topic
from polytope_server.request import TERMINAL, Request, Status, Upload, Verb
from polytope_server.staging import LargestObjectError
from polytope_server.staging.names import new_object_name
from polytope_server.testing.staging import chunked
from polytope_server.testing.waiting import until
from testbed.server import CONFIG


async def test_a_request_is_processed_and_its_result_recorded(site: Site) -> None:
    request = await site.ended(await site.submit("echo", "hello"))
    assert (request.status, request.user_message, request.attempt) == (Status.PROCESSED, "Success", 1)
    found = await site.staging.stat(request.result)
    assert (found.size, found.md5) == (request.content_length, request.md5)
    assert list(request.status_history) == ["waiting", "queued", "processing", "processed"]


async def test_processed_requests_are_counted_for_the_statistics(site: Site) -> None:
    request = await site.ended(await site.submit("echo"))
    rows: list[Any] = []

    async def stored() -> None:
        while not rows:
            rows.extend(await site.parts.metric_store.find())
            await asyncio.sleep(0.005)

    await asyncio.wait_for(stored(), 10)
    assert [(row.request_id, row.status) for row in rows] == [(request.id, "processed")]


async def test_a_request_that_cannot_be_fulfilled_fails_with_the_reason(site: Site) -> None:
    request = await site.ended(await site.submit("raise"))
    assert (request.status, request.attempt) == (Status.FAILED, 1)
    assert request.user_message == "this data source always fails"


async def test_a_request_whose_data_source_is_gone_fails(site: Site) -> None:
    request = await site.ended(await site.submit("removed", collection="echo"))
    assert request.user_message == "The data source of this request is no longer available."


async def test_a_request_whose_collection_is_gone_fails_and_harms_no_other(site: Site) -> None:
    gone = await site.submit("removed", collection="removed")
    other = await site.submit("echo")
    assert (await site.ended(gone)).user_message == "The collection removed is no longer available."
    assert (await site.ended(other)).status is Status.PROCESSED


async def test_a_crash_is_tried_again_and_then_given_up(site: Site) -> None:
    big = await site.submit("dummy", coerced_request={"data": 1 << 40})
    killed: set[int] = set()

    async def kill_its_children() -> Request:
        while (request := await site.store.get(big)) and request.status not in TERMINAL:
            for child in site.parts.children.living():
                if not child.usable and child.pid not in killed:
                    killed.add(child.pid)
                    os.kill(child.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        assert request is not None
        return request

    request = await asyncio.wait_for(kill_its_children(), 30)
    assert request.user_message == "The data source ended unexpectedly.\nGiven up after 2 attempts."
    assert (request.attempt, request.failures, len(killed)) == (2, 2, 2)
    assert [found async for found in site.staging.list()] == []
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED


async def test_a_revoked_request_stops_at_once(site: Site) -> None:
    big = await site.submit("dummy", coerced_request={"data": 1 << 40})
    await until(lambda: site.works_on(big))
    await site.store.remove(big)
    site.parts.notices.publish(Topic.REMOVED, big)
    await until(lambda: not site.works_on(big))
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED


async def test_a_request_that_was_removed_without_a_notice_stops_at_the_next_renewal(site: Site) -> None:
    big = await site.submit("dummy", coerced_request={"data": 1 << 40})
    await until(lambda: site.works_on(big))
    await site.store.remove(big)
    await until(lambda: not site.works_on(big))


async def test_a_lease_that_nobody_renews_goes_back_to_the_queue(site: Site) -> None:
    request = Request(USER, "echo", user_request="x", coerced_request={"data": "x"}, datasource="echo")
    request.status, request.attempt = Status.PROCESSING, 1
    request.worker, request.lease_until = "dead", time.time() - 1
    await site.store.add(request)
    ended = await site.ended(request.id)
    assert (ended.status, ended.attempt) == (Status.PROCESSED, 2)
    assert (ended.failures, ended.lost_leases) == (0, 1)


async def test_a_lease_that_ended_too_often_fails_the_request(site: Site) -> None:
    request = Request(USER, "echo", status=Status.PROCESSING, datasource="echo", attempt=9, lost_leases=9)
    request.worker, request.lease_until = "dead", time.time() - 1
    await site.store.add(request)
    message = "The worker ended unexpectedly.\nGiven up after 10 attempts."
    assert (await site.ended(request.id)).user_message == message


async def test_a_queued_request_without_a_message_is_published_again(site: Site) -> None:
    request = Request(USER, "echo", status=Status.QUEUED, user_request="x", datasource="echo")
    request.coerced_request, request.not_before = {"data": "x"}, time.time() + 0.3
    await site.store.add(request)
    assert (await site.ended(request.id)).status is Status.PROCESSED


async def test_the_upload_of_an_archive_that_failed_is_removed(site: Site) -> None:
    made = await site.staging.create(new_object_name("u", ""), chunked([b"x" * 100]), "a/b")
    fields = {"verb": Verb.ARCHIVE, "input": Upload(made.name)}
    assert (await site.ended(await site.submit("raise", **fields))).status is Status.FAILED
    await until(lambda: not list((site.data / "staging" / "objects").iterdir()))


async def test_an_archive_takes_the_upload_and_removes_it(site: Site) -> None:
    made = await site.staging.create(new_object_name("u", ""), chunked([b"x" * 100]), "a/b")
    fields = {"verb": Verb.ARCHIVE, "input": Upload(made.name)}
    assert (await site.ended(await site.submit("echo", **fields))).status is Status.PROCESSED
    # It is removed after the outcome is stored.
    await until(lambda: not list((site.data / "staging" / "objects").iterdir()))
    again = await site.ended(await site.submit("echo", **fields))
    assert again.user_message == "The uploaded data are no longer there."


async def test_an_attempt_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    site = Site(tmp_path, worker={**SETTINGS["worker"], "timeout": 0.2, "max_attempts": 1})
    await site.store.open()
    site.start()
    ended = await site.ended(await site.submit("dummy", coerced_request={"data": 1 << 40}))
    assert ended.user_message == "It took longer than 0.2 seconds."
    await site.end()
    await site.store.close()


async def test_a_child_that_never_starts_holds_no_request_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, worker={**SETTINGS["worker"], "timeout": 0.2, "max_attempts": 1})
    await site.store.open()
    monkeypatch.setattr(site.parts.children, "take", asyncio.Event().wait)
    site.start()
    ended = await site.ended(await site.submit("echo"))
    assert ended.user_message == "It took longer than 0.2 seconds."
    await site.end()
    await site.store.close()


async def test_a_worker_that_stops_gives_its_requests_back_uncounted(tmp_path: Path) -> None:
    site = Site(tmp_path, worker={**SETTINGS["worker"], "grace": 0})
    await site.store.open()
    site.start()
    big = await site.submit("dummy", coerced_request={"data": 1 << 40})
    await until(lambda: site.works_on(big))
    await site.end()
    request = await site.store.get(big)
    assert request is not None
    assert (request.status, request.failures) == (Status.QUEUED, 0)
    await site.store.close()


async def test_a_revoke_while_a_child_is_being_replaced_loses_no_slot(tmp_path: Path) -> None:
    site = Site(tmp_path, worker={**SETTINGS["worker"], "concurrency": 1})
    await site.store.open()
    site.start()
    await until(site.parts.children.living)
    (child,) = site.parts.children.living()
    await child.kill()
    lost = await site.submit("echo")
    await until(lambda: site.works_on(lost))
    await site.store.remove(lost)
    site.parts.notices.publish(Topic.REMOVED, lost)
    await until(lambda: not site.works_on(lost))
    for _ in range(3):
        assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    await site.end()
    await site.store.close()


async def nothing_is_staged(site: Site) -> bool:
    return [found async for found in site.staging.list()] == []


@pytest.mark.usefixtures("greedy")
async def test_a_result_that_is_too_large_fails_at_once_with_both_numbers(tmp_path: Path) -> None:
    sources = {**CONFIG["datasources"], "greedy": {"type": "greedy", "max_result": "5M"}}
    collections = {**CONFIG["collections"], "greedy": {"datasources": ["greedy"]}}
    worker = {**SETTINGS["worker"], "max_result": "3M"}
    site = Site(tmp_path, worker=worker, datasources=sources, collections=collections)
    await site.store.open()
    site.start()
    request = await site.ended(await site.submit("dummy", coerced_request={"data": 10 << 20}))
    assert request.user_message == "The result has 4194304 bytes or more; at most 3145728 are allowed."
    assert (request.status, request.attempt) == (Status.FAILED, 1)
    # A data source may have a limit of its own, and know what comes.
    request = await site.ended(await site.submit("greedy", f"announce {10 << 20}"))
    assert request.user_message == "The result has 10485760 bytes or more; at most 5242880 are allowed."
    assert (request.status, request.attempt) == (Status.FAILED, 1)
    assert await nothing_is_staged(site)
    # The children, which had more to say, are replaced.
    for source, text, size in (("dummy", str(3 << 20), 3 << 20), ("greedy", f"stream {5 << 20}", 5 << 20)):
        request = await site.ended(await site.submit(source, text))
        assert (request.status, request.content_length) == (Status.PROCESSED, size)
    await site.end()
    await site.store.close()


@pytest.mark.usefixtures("greedy")
@pytest.mark.parametrize(("kind", "size"), [("announce", 1 << 40), ("stream", 20 << 20)])
async def test_a_result_that_does_not_fit_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    """One that is announced before it comes, the other when there is no room left."""

    def statvfs(_: Any) -> Any:
        written = sum(path.stat().st_size for path in (site.data / "staging" / "unfinished").iterdir())
        return SimpleNamespace(f_blocks=20 << 20, f_frsize=1, f_bavail=(20 << 20) - written)

    sources = {**CONFIG["datasources"], "greedy": {"type": "greedy"}}
    collections = {**CONFIG["collections"], "greedy": {"datasources": ["greedy"]}}
    site = Site(tmp_path, datasources=sources, collections=collections)
    await site.store.open()
    site.start()
    monkeypatch.setattr(os, "statvfs", statvfs)
    request = await site.ended(await site.submit("greedy", f"{kind} {1 << 40}"))
    assert request.user_message == f"The result has {size} bytes or more; there is room for {19 << 20}."
    assert (request.status, request.attempt) == (Status.FAILED, 1)
    assert await nothing_is_staged(site)
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    await site.end()
    await site.store.close()


async def test_a_result_that_had_to_give_way_has_failed_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_way(*_: Any) -> Any:
        raise LargestObjectError("the disk is full")

    monkeypatch.setattr(site.staging, "create", give_way)
    request = await site.ended(await site.submit("echo"))
    assert (request.status, request.attempt, request.failures) == (Status.FAILED, 2, 2)
    assert request.user_message.startswith("There was no room for the result")


@pytest.mark.usefixtures("greedy")
async def test_a_request_that_needs_too_much_memory_fails_at_once(tmp_path: Path) -> None:
    sources = {**CONFIG["datasources"], "greedy": {"type": "greedy", "max_memory": "256M"}}
    collections = {**CONFIG["collections"], "greedy": {"datasources": ["greedy"]}}
    site = Site(tmp_path, datasources=sources, collections=collections)
    await site.store.open()
    site.start()
    request = await site.ended(await site.submit("greedy", f"take {300 << 20}"))
    assert (request.status, request.attempt) == (Status.FAILED, 1)
    assert "more memory than the 256 MiB" in request.user_message
    assert (await site.ended(await site.submit("greedy", "take 5"))).status is Status.PROCESSED
    await site.end()
    await site.store.close()


async def test_requests_go_to_the_queue_of_their_data_source(tmp_path: Path) -> None:
    sources = {**CONFIG["datasources"], "echo": {"type": "echo", "queue": "slow"}}
    site = Site(tmp_path, datasources=sources, worker={**SETTINGS["worker"], "queues": ["default"]})
    await site.store.open()
    site.start()
    try:
        slow, quick = await site.submit("echo"), await site.submit("dummy", "5")
        assert (await site.ended(quick)).status is Status.PROCESSED
        waiting = await site.store.get(slow)
        assert waiting is not None
        assert waiting.status is Status.QUEUED
    finally:
        await site.end()
        await site.store.close()
