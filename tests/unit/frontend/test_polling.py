"""Polls: whose request is found, how long a poll is held, and how often it reads the store."""

from __future__ import annotations

import asyncio

import pytest

from polytope_server.frontend.polling import Polling
from polytope_server.frontend.waiters import Waiters
from polytope_server.notices import Notice, Topic
from polytope_server.request import Request, Status, Verb
from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.retention import Reason, Tombstone
from polytope_server.testing.waiting import until
from polytope_server.user import User

USER, OTHER = User("u", "r"), User("v", "r")
#: Seconds in which a test ends unless something hangs.
SOON = 5
UNKNOWN = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Store:
    """A store with one request, which counts how often its state is read."""

    def __init__(self) -> None:
        self.request = Request(USER, "c", Verb.RETRIEVE, "", {})
        self.reads = 0
        #: How many reads fail before one succeeds.
        self.failures = 0
        self.tombstones: dict[tuple[str, str], Tombstone] = {}

    async def get(self, request_id: str) -> Request | None:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("down")
        return self.request if request_id == self.request.id else None

    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        self.reads += 1
        return self.tombstones.get((request_id, user_id))


class Site:
    """The polls of a frontend with one request."""

    def __init__(self, poll_wait: float = 60.0, first_wait: float = 60.0) -> None:
        self.store, self.waiters = Store(), Waiters()
        self.request = self.store.request
        self.polling = Polling(self.store, self.waiters, poll_wait, first_wait=first_wait)  # type: ignore[arg-type]

    def poll(self, user: User = USER, preferred: float | None = None) -> asyncio.Task[Request | None]:
        return asyncio.create_task(self.polling.poll(user, self.request.id, preferred))

    def end(self) -> None:
        self.request.status = Status.PROCESSED

    def notify(self) -> None:
        self.waiters.on_notice(Notice(Topic.ENDED, self.request.id))


def fresh(first_wait: float = 60.0) -> Site:
    """One where the request was submitted just now."""
    site = Site(first_wait=first_wait)
    site.waiters.submitted(site.request)
    return site


# --- who finds what ----------------------------------------------------------------------------------------


async def test_owners_find_their_requests_and_nobody_else_does() -> None:
    site = Site()
    assert await site.polling.find(USER, site.request.id) is site.request
    assert await site.polling.find(OTHER, site.request.id) is None
    assert await site.polling.find(USER, UNKNOWN) is None


async def test_what_cannot_be_an_id_is_not_searched_for() -> None:
    site = Site()
    assert await site.polling.find(USER, "*") is None
    assert await site.polling.poll(USER, "*") is None
    assert await site.polling.tombstone(USER, "*") is None
    assert site.store.reads == 0


async def test_owners_find_what_is_left_of_their_requests() -> None:
    site = Site()
    left = site.store.tombstones[UNKNOWN, USER.id] = Tombstone(1.0, Reason.AGE)
    assert await site.polling.tombstone(USER, UNKNOWN) is left
    assert await site.polling.tombstone(OTHER, UNKNOWN) is None


# --- how long a poll is held -------------------------------------------------------------------------------


async def test_a_poll_of_a_request_that_has_ended_is_answered_at_once() -> None:
    site = Site()
    site.end()
    async with asyncio.timeout(SOON):
        assert await site.poll() is site.request
    assert site.store.reads == 1


async def test_a_poll_of_a_request_that_waits_for_its_data_is_answered_at_once() -> None:
    site = Site()
    site.request.status = Status.UPLOADING
    async with asyncio.timeout(SOON):
        assert await site.poll() is site.request


async def test_a_poll_is_held_until_the_request_ends() -> None:
    site = Site()
    polling = site.poll()
    await until(lambda: site.store.reads == 1)
    assert not polling.done()
    site.end()
    site.notify()
    assert await polling is site.request
    assert site.store.reads == 2


async def test_a_poll_is_held_for_the_configured_time_at_most() -> None:
    site = Site(poll_wait=0.05)
    async with asyncio.timeout(SOON):
        assert await site.poll() is site.request
    assert site.store.reads == 2  # when it begins, and when its time is over


@pytest.mark.parametrize(("configured", "preferred"), [(60.0, 0.0), (60.0, 0.01), (0.0, 60.0), (0.01, 60.0)])
async def test_a_client_may_prefer_less_and_not_more(configured: float, preferred: float) -> None:
    async with asyncio.timeout(SOON):
        site = Site(configured)
        assert await site.poll(preferred=preferred) is site.request


async def test_a_process_that_stops_holds_no_poll() -> None:
    site = Site()
    polling = site.poll()
    await until(lambda: site.store.reads == 1)
    site.waiters.release()
    async with asyncio.timeout(SOON):
        assert await polling is site.request


async def test_a_poll_outlasts_a_short_outage_of_the_store() -> None:
    site = Site()
    site.end()
    site.store.failures = 2
    async with asyncio.timeout(SOON):
        assert await site.poll() is site.request


@pytest.mark.parametrize("poll_wait", [0.0, 0.1])
async def test_it_does_not_outlast_the_time_for_which_it_is_held(poll_wait: float) -> None:
    site = Site(poll_wait)
    site.store.failures = 1000
    with pytest.raises(StoreUnavailableError):
        await site.poll()


async def test_a_process_that_stops_waits_for_no_store() -> None:
    site = Site()
    site.store.failures = 1000
    site.waiters.release()
    async with asyncio.timeout(SOON):
        with pytest.raises(StoreUnavailableError):
            await site.poll()


# --- requests that were submitted just now to the same process ---------------------------------------------


async def test_one_read_is_enough() -> None:
    site = fresh()
    polling = site.poll()
    await asyncio.sleep(0)
    site.end()
    site.notify()
    assert await polling is site.request
    assert site.store.reads == 1


async def test_what_has_ended_before_is_read_at_once() -> None:
    site = fresh()
    site.end()
    site.notify()
    assert await site.poll() is site.request
    assert site.store.reads == 1


async def test_a_notice_that_is_lost_costs_a_moment() -> None:
    site = fresh(first_wait=0.01)
    site.end()
    async with asyncio.timeout(SOON):
        assert await site.poll() is site.request


async def test_what_takes_longer_is_held_as_ever() -> None:
    site = fresh(first_wait=0.01)
    polling = site.poll()
    await until(lambda: site.store.reads == 1)
    site.end()
    site.notify()
    assert await polling is site.request
    assert site.store.reads == 2


async def test_others_learn_nothing() -> None:
    async with asyncio.timeout(SOON):
        assert await fresh().poll(OTHER) is None
