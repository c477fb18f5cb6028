"""Polls of requests that were submitted just now to the same process."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.authentication.manager import Identification
from polytope_server.frontend import requests
from polytope_server.frontend.waiters import Waiters
from polytope_server.notices import Notice, Topic
from polytope_server.request import Request, Status, Verb
from polytope_server.testing.waiting import until
from polytope_server.user import User

USER = User("u", "r")


class Site:
    """A frontend with one request, which counts how often its state is read."""

    def __init__(self) -> None:
        self.request = Request(USER, "c", Verb.RETRIEVE, "", {})
        self.waiters = Waiters()
        self.settings = SimpleNamespace(poll_wait=60.0)
        self.store = self
        self.reads = 0

    async def get(self, request_id: str) -> Request:
        self.reads += 1
        return self.request

    def poll(self, user: User = USER) -> asyncio.Task[Request | None]:
        services: Any = self
        call: Any = SimpleNamespace(get_header=lambda _: None)
        caller = Identification(user, "Basic")
        return asyncio.create_task(requests.poll(services, call, caller, self.request.id))

    def end(self) -> None:
        self.request.status = Status.PROCESSED

    def tell(self) -> None:
        self.waiters.on_notice(Notice(Topic.ENDED, self.request.id))


@pytest.fixture
def site() -> Site:
    made = Site()
    made.waiters.submitted(made.request)
    return made


async def test_one_read_is_enough(site: Site) -> None:
    polling = site.poll()
    await until(lambda: site.waiters._waiting)
    site.end()
    site.tell()
    assert await polling is site.request
    assert site.reads == 1


async def test_what_has_ended_before_is_read_at_once(site: Site) -> None:
    site.end()
    site.tell()
    assert await site.poll() is site.request
    assert site.reads == 1


async def test_a_notice_that_is_lost_costs_a_moment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_WAIT", 0.01)
    site.end()
    async with asyncio.timeout(5):
        assert await site.poll() is site.request


async def test_what_takes_longer_is_held_as_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_WAIT", 0.01)
    polling = site.poll()
    await until(lambda: site.reads == 1)
    site.end()
    site.tell()
    assert await polling is site.request
    assert site.reads == 2


async def test_others_learn_nothing(site: Site) -> None:
    async with asyncio.timeout(5):
        assert await site.poll(User("v", "r")) is None
