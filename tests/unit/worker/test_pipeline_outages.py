"""Broker and worker together, while a part of them is away: no request is lost, or done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pipeline_site import USER, Site

from polytope_server.broker import composition as broker_composition
from polytope_server.notices import Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import StoreUnavailableError
from polytope_server.staging import StagingUnavailableError
from polytope_server.testing.waiting import until


async def test_a_lost_notice_is_made_good_by_the_sweep(site: Site) -> None:
    request = Request(USER, "echo", user_request="x", coerced_request={"data": "x"}, datasource="echo")
    await site.store.add(request)
    assert (await site.ended(request.id)).status is Status.PROCESSED


async def test_stores_that_fail_for_a_while_stop_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    outages = {"claim": 2, "promote": 1, "transition": 2, "lead": 1, "renew": 1, "expired": 1}

    def failing(store: Any, name: str) -> None:
        real = getattr(store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if outages[name]:
                outages[name] -= 1
                raise StoreUnavailableError("out of order")
            return await real(*arguments, **named)

        monkeypatch.setattr(store, name, call)

    for name in ("claim", "transition", "renew"):
        failing(site.store, name)
    for name in ("promote", "lead", "expired"):
        failing(site.broker_parts.store, name)
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    assert not any(outages[name] for name in ("claim", "promote", "transition", "expired"))


async def test_a_metric_that_cannot_be_stored_harms_no_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("no statistics")

    monkeypatch.setattr(site.parts.metric_store, "add", fail)
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    await until(lambda: "metrics could not be stored" in caplog.text)


async def test_of_two_brokers_one_leads_and_the_other_takes_over(site: Site) -> None:
    second = broker_composition.make_broker(site.configuration, site.data)
    stop = asyncio.Event()
    serving = asyncio.create_task(second.serve(stop))
    await site.ended(await site.submit("echo"))
    assert second.turns.term is None
    site.broker_stop.set()
    await until(lambda: second.turns.term is not None)
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    stop.set()
    await serving


async def test_a_broker_that_lost_leadership_does_nothing_until_it_leads_again(site: Site) -> None:
    await until(lambda: site.broker.turns.term is not None)
    await site.broker_parts.store.resign("broker", site.broker_parts.name)
    await site.broker_parts.store.lead("broker", "another", 0.5)
    waiting = await site.submit("echo")
    assert (await site.ended(waiting)).status is Status.PROCESSED
    assert (site.broker.turns.term or 0) > 1


async def test_a_part_that_fails_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)

    async def fail(*_: Any) -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(site.broker.turns, "take", fail)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        await asyncio.wait_for(site.broker.serve(asyncio.Event()), 20)
    for part in (site.broker_parts.queue, site.broker_parts.notices, site.broker_parts.store):
        await part.close()


async def test_an_outage_of_the_staging_counts_for_no_failure(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = site.staging.create
    outages = iter(range(4))  # more than there may be failures

    async def unreachable(*arguments: Any) -> Any:
        if next(outages, None) is not None:
            raise StagingUnavailableError("the staging cannot be reached")
        return await create(*arguments)

    monkeypatch.setattr(site.staging, "create", unreachable)
    request = await site.ended(await site.submit("echo"))
    assert (request.status, request.failures, request.attempt) == (Status.PROCESSED, 0, 5)


async def test_a_claim_that_was_made_without_an_answer_costs_no_attempt(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = site.store.claim, iter([True])

    async def forgetful(*arguments: Any) -> Any:
        claimed = await claim(*arguments)
        if claimed and next(failures, False):
            raise StoreUnavailableError("the connection ended before the answer came")
        return claimed

    monkeypatch.setattr(site.store, "claim", forgetful)
    request = await site.ended(await site.submit("echo"))
    assert (request.status, request.attempt, request.lost_leases) == (Status.PROCESSED, 1, 0)


async def test_an_outcome_that_was_stored_without_an_answer_is_no_lost_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result must not be removed, nor the end be kept from those who wait for it."""
    transition = site.store.transition
    answers = iter([False])

    async def forgetful(*arguments: Any, **changes: Any) -> Any:
        done = await transition(*arguments, **changes)
        if done is not None and done.status is Status.PROCESSED and not next(answers, True):
            raise StoreUnavailableError("the connection ended before the answer came")
        return done

    monkeypatch.setattr(site.store, "transition", forgetful)
    ended = []
    await site.parts.notices.subscribe({Topic.ENDED}, ended.append)
    request = await site.ended(await site.submit("echo"))
    await until(lambda: ended)
    assert (await site.staging.stat(request.result)).size == 5


async def test_an_outcome_of_an_attempt_that_was_overtaken_is_dropped(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was away for so long that the lease has ended, and another has the request."""
    transition = site.store.transition
    failures = iter([True])

    async def away(request_id: str, expect: Status, attempt: int, to: Status, **changes: Any) -> Any:
        if to is Status.PROCESSED and next(failures, False):
            await transition(request_id, expect, attempt, Status.FAILED, user_message="given up")
            raise StoreUnavailableError("the store is away")
        return await transition(request_id, expect, attempt, to, **changes)

    monkeypatch.setattr(site.store, "transition", away)
    request = await site.ended(await site.submit("echo"))
    assert (request.status, request.result) == (Status.FAILED, "")

    async def is_empty() -> bool:
        return not [found async for found in site.staging.list()]

    async with asyncio.timeout(20):
        while not await is_empty():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_processes_wait_for_a_store_that_is_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    opens = {id(store): store.open for store in (site.store, site.broker_parts.store)}
    outages = iter(range(3))

    def patiently(store: Any) -> Any:
        async def open_later() -> None:
            if next(outages, None) is not None:
                raise StoreUnavailableError("not there yet")
            await opens[id(store)]()

        return open_later

    for store in (site.store, site.broker_parts.store):
        monkeypatch.setattr(store, "open", patiently(store))
    site.start()
    await until(site.parts.children.living)
    assert (await site.ended(await site.submit("echo"))).status is Status.PROCESSED
    await site.end()


async def test_a_process_that_is_stopped_while_it_waits_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        raise StoreUnavailableError("not there")

    site = Site(tmp_path)
    for store in (site.store, site.broker_parts.store):
        monkeypatch.setattr(store, "open", never)
    site.start()
    await asyncio.wait_for(site.end(), 20)
