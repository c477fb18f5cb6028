"""The lead is renewed whatever the event loop does, and given up when the work stands still."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.broker.leadership import Leadership, pause
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.testing.waiting import until

LEASE = 0.2


class Store(MemoryRequestStore):
    """A store that counts, may be away, and may fail in an unexpected way."""

    def __init__(self) -> None:
        super().__init__(MemoryRequestStoreSettings(), Path())
        self.asked = 0
        self.away = False
        self.error: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.thread: threading.Thread | None = None

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        self.asked += 1
        self.thread = threading.current_thread()
        self.goes_on.wait()
        if self.error is not None:
            raise self.error
        if self.away:
            raise StoreUnavailableError("away")
        return await super().lead(name, holder, seconds)


class Site:
    def __init__(self, lease: float = LEASE) -> None:
        self.store = Store()
        self.lease = lease
        self.changes = 0
        #: Seconds by which the clock has been put forward.
        self.ahead = 0.0
        #: Seconds that each call of the store took.
        self.answers: list[float] = []
        self.leadership = self.make("a")

    def make(self, holder: str) -> Leadership:
        return Leadership(lambda: self.store, holder, self.lease, self.clock)

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def another(self, holder: str) -> Leadership:
        """One more broker that waits to lead."""
        made = self.make(holder)
        made.start(lambda: None, self.answers.append)
        return made

    def start(self) -> None:
        self.leadership.start(self._changed, self.answers.append)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    site.start()
    await until(lambda: site.changes)
    assert site.leadership.term == 1
    yield site
    await site.leadership.stop(resign=True)


async def test_a_busy_event_loop_does_not_cost_the_lead(site: Site) -> None:
    assert site.store.thread is not threading.current_thread()
    asked, other = site.store.asked, site.another("b")
    while site.store.asked < asked + 40:  # nothing else runs in this event loop meanwhile
        threading.Event().wait(0.005)
    assert (site.leadership.term, other.term) == (1, None)
    await other.stop(resign=True)


async def test_work_that_stands_still_costs_the_lead_and_going_on_brings_it_back(site: Site) -> None:
    site.ahead = 3600
    await until(lambda: site.leadership.term is None)
    other = site.another("b")
    await until(lambda: other.term == 2)
    await other.stop(resign=True)
    site.leadership.progress()
    await until(lambda: site.leadership.term == 3)


async def test_an_outage_of_the_store_costs_the_lead_when_the_lease_ends(site: Site) -> None:
    site.store.away = True
    await until(lambda: site.leadership.term is None)
    await until(lambda: site.changes == 2)
    assert math.inf in site.answers
    site.store.away = False
    await until(lambda: site.leadership.term == 1)  # no other has led


@pytest.mark.parametrize(
    ("took", "leads", "expected"),
    [
        (0.0, True, 1.0),
        (0.9, True, 0.1),  # a slow answer does not delay the next renewal
        (5.0, True, 0.0),
        (math.inf, True, 1.0),  # the store is away: no use to ask all the time
        (0.0, False, 0.5),
        # The leader may have been held up as well, and comes first.
        (1.5, False, 3.0),
        (math.inf, False, 3.0),
    ],
)
def test_after_a_slow_answer_the_leader_asks_first(took: float, leads: bool, expected: float) -> None:
    assert pause(3.0, took, leads) == pytest.approx(expected)


async def test_a_lease_that_has_ended_counts_no_more_while_the_thread_is_held_up(site: Site) -> None:
    site.store.goes_on.clear()
    asked = site.store.asked
    await until(lambda: site.store.asked > asked)
    site.ahead = LEASE
    assert site.leadership.term is None
    site.store.goes_on.set()


async def test_the_lead_is_given_back_at_the_end() -> None:
    for resign, next_term in ((True, 2), (False, None)):
        site = Site(lease=3600)
        site.start()
        await until(lambda site=site: site.changes)  # type: ignore[misc]
        await site.leadership.stop(resign)
        await site.leadership.ended()
        assert await site.store.lead("broker", "b", 60) == next_term


async def test_a_thread_that_ends_by_itself_says_why(site: Site) -> None:
    site.store.error = ValueError("unexpected")
    with pytest.raises(ValueError, match="unexpected"):
        await site.leadership.ended()


async def test_waiting_for_the_end_may_be_cancelled(site: Site) -> None:
    waiting = asyncio.create_task(site.leadership.ended())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await site.leadership.stop(resign=True)
    await site.leadership.ended()


async def test_it_may_be_stopped_at_once(site: Site) -> None:
    other: Any = site.another("b")
    await other.stop(resign=True)
    await other.ended()
