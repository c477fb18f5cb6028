"""What a broker does in one turn belongs to one term, whatever happens to its lead meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from polytope_server.broker.broker import Broker
from polytope_server.broker.composition import make_parts
from polytope_server.broker.leadership import Leadership
from polytope_server.config import load
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.notices import Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import RequestSummary, StoreUnavailableError
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.testing.waiting import until
from polytope_server.user import User
from testbed.server import CONFIG

USER = User("alice", "test")


class Store(SQLRequestStore):
    """A store whose answers may be held back or lost."""

    def __init__(self, data: Path) -> None:
        super().__init__(SQLSettings(), data)
        self.reading = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.lost: list[Sequence[str]] = []
        self.loses = self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.promotions = 0

    async def active(self, after: int, limit: int) -> list[RequestSummary]:
        found = await super().active(after, limit)
        self.reading.set()
        await self.goes_on.wait()
        return found

    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        self.promotions += 1
        await self.answers.wait()
        if self.loses:
            self.lost.append(request_ids)
            raise StoreUnavailableError("no answer")
        return await super().promote(request_ids, leader, term)

    async def summaries(self, statuses: Any, request_ids: Sequence[str]) -> list[RequestSummary]:
        if self.away:
            raise StoreUnavailableError("away")
        return await super().summaries(statuses, request_ids)


class Lead:
    """Stands in for the thread that keeps the lead."""

    term: int | None = None
    resigned: bool | None = None
    progressed = 0

    def progress(self) -> None:
        self.progressed += 1

    def start(self, *_: Any) -> None:
        """The lead is there already."""

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def stop(self, resign: bool) -> None:
        self.resigned = resign


class Site:
    """A broker whose collection lets one request run at a time, and its store."""

    def __init__(self, data: Path, lease: float = 60) -> None:
        collections = {
            "echo": {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 1}}
        }
        file = data / "config.yaml"
        file.write_text(yaml.safe_dump({**CONFIG, "collections": collections, "broker": {"lease": lease}}))
        self.store = Store(data)
        self.lead = Lead()
        #: Seconds by which the clock has been put forward.
        self.ahead = 0.0
        configuration = load([file])
        self.parts = replace(
            make_parts(configuration, data),
            store=self.store,
            leadership=cast(Leadership, self.lead),
            clock=lambda: time.monotonic() + self.ahead,
        )
        self.broker = Broker(configuration.settings, configuration.collections, self.parts)
        self.turns = self.broker.turns

    async def begin_term(self) -> int:
        """Begin the term of the lead that this broker has; returns it."""
        assert self.lead.term is not None
        await self.turns.change_term(self.lead.term)
        return self.lead.term

    async def add(self) -> str:
        request = Request(USER, "echo", user_request="x", coerced_request={"data": "x"}, datasource="echo")
        await self.store.add(request)
        return request.id

    async def takes_lead(self) -> None:
        self.lead.term = await self.store.lead("broker", self.parts.name, 3600)

    async def other_leads_and_promotes(self, request_id: str) -> None:
        await self.store.resign("broker", self.parts.name)
        term = await self.store.lead("broker", "other", 3600)
        assert term is not None
        assert await self.store.promote([request_id], "other", term) == {request_id}
        await self.store.resign("broker", "other")

    async def queued(self) -> set[str]:
        return {summary.id for summary in await SQLRequestStore.active(self.store, 0, 99)}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    await site.store.open()
    await site.takes_lead()
    yield site
    await site.parts.queue.close()
    await site.store.close()


async def test_a_lead_lost_and_regained_during_a_sweep_exceeds_no_limit(site: Site) -> None:
    first, _ = await site.add(), await site.add()
    site.store.goes_on.clear()
    stop = asyncio.Event()
    serving = asyncio.create_task(site.broker.serve(stop))
    site.turns.wake_up()
    await site.store.reading.wait()  # it knows of nothing that is active
    await site.other_leads_and_promotes(first)
    await site.takes_lead()
    assert site.lead.term == 3
    site.turns.wake_up()
    site.store.goes_on.set()
    await until(lambda: site.turns.term == 3 and site.turns.knows_active)
    for _ in range(3):
        progressed = site.lead.progressed
        site.turns.wake_up()
        await until(lambda progressed=progressed: site.lead.progressed > progressed)  # type: ignore[misc]
    assert await site.queued() == {first}
    assert site.turns.schedule.count(Status.QUEUED) == 1
    stop.set()
    await serving


async def test_after_a_promotion_without_an_answer_nothing_is_chosen_before_it_has_settled(
    site: Site,
) -> None:
    await site.add()
    await site.add()
    term = await site.begin_term()
    site.store.loses = True
    with pytest.raises(StoreUnavailableError):
        await site.turns.take(term)
    site.ahead += 1e9
    assert not site.turns.promotion.settled  # the store may stand still
    site.store.loses = False
    await site.turns.take(term)
    assert site.store.promotions == 1
    site.ahead += 59
    assert not site.turns.promotion.settled  # a time after its first answer
    ((late,),) = site.store.lost
    assert await site.store.promote([late], site.parts.name, term) == {late}  # it was only slow
    site.ahead += 1  # a lease later
    assert site.turns.promotion.settled
    await site.turns.take(term)
    assert await site.queued() == {late}


async def test_a_queued_request_of_a_removed_collection_fails(site: Site) -> None:
    request = Request(USER, "removed", status=Status.QUEUED, datasource="echo")
    await site.store.add(request)
    await site.turns.take(await site.begin_term())
    found = await site.store.get(request.id)
    assert found is not None
    assert found.status is Status.FAILED


async def test_notices_that_came_before_an_outage_are_read_after_it(site: Site) -> None:
    request_id = await site.add()
    site.turns.note(Topic.WAITING, request_id)
    site.store.away = True
    with pytest.raises(StoreUnavailableError):
        await site.turns.read_news()
    site.store.away = False
    site.turns.note(Topic.CLAIMED, "another")
    await site.turns.read_news()
    assert site.turns.schedule.status(request_id) is Status.WAITING


async def test_a_request_that_could_not_be_promoted_but_waits_is_not_forgotten(site: Site) -> None:
    request_id = await site.add()
    term = await site.begin_term()
    await site.turns.take(-1)  # the store does not know of that term
    assert await site.queued() == set()
    await site.turns.take(term)
    assert await site.queued() == {request_id}


@pytest.mark.parametrize("answered", [True, False])
async def test_the_lead_is_not_given_back_while_a_promotion_may_still_take_place(
    tmp_path: Path, answered: bool
) -> None:
    site = Site(tmp_path, lease=60 if answered else 1.5)
    await site.store.open()
    await site.takes_lead()
    await site.add()
    site.store.answers.clear()
    stop = asyncio.Event()
    site.turns.wake_up()
    serving = asyncio.create_task(site.broker.serve(stop))
    await until(lambda: site.store.promotions)
    stop.set()
    if answered:
        await asyncio.sleep(0)
        site.store.answers.set()
    await serving
    assert site.lead.resigned is answered
