"""Who waits for the end of which request."""

from __future__ import annotations

import asyncio
import gc
import weakref

from polytope_server.frontend.waiters import Waiters, wait
from polytope_server.notices import Notice, Topic
from polytope_server.request import Request, Verb
from polytope_server.user import User


async def test_all_who_wait_for_a_request_learn_of_its_end() -> None:
    waiters = Waiters()
    with waiters.watch("a") as first, waiters.watch("a") as second, waiters.watch("b") as other:
        waiters.on_notice(Notice(Topic.ENDED, "a"))
        assert first.done()
        assert second.done()
        assert not other.done()


async def test_an_end_between_watching_and_waiting_is_not_missed() -> None:
    waiters = Waiters()
    with waiters.watch("a") as ended:
        waiters.on_notice(Notice(Topic.ENDED, "a"))
        waiters.on_notice(Notice(Topic.REMOVED, "a"))
        await asyncio.wait_for(wait(ended, 60), 5)


async def test_a_wait_is_bounded() -> None:
    waiters = Waiters()
    with waiters.watch("a") as ended:
        await wait(ended, 0.001)
        assert not ended.done()


class Id(str):
    """An id that can be seen to be forgotten."""


async def test_nothing_is_kept_of_those_who_have_gone() -> None:
    waiters, request_id = Waiters(), Id("a")
    kept = weakref.ref(request_id)
    with waiters.watch(request_id), waiters.watch(request_id):
        pass
    del request_id
    gc.collect()
    assert kept() is None


async def test_a_process_that_stops_lets_all_go() -> None:
    waiters = Waiters()
    with waiters.watch("a") as before:
        waiters.release()
        assert before.done()
    with waiters.watch("b") as after:
        assert after.done()


async def test_a_request_is_fresh_for_its_user_until_a_notice_of_its_end() -> None:
    waiters = Waiters()
    user, other = User("u", "r"), User("v", "r")
    request = Request(user, "c", Verb.RETRIEVE, "", {})
    assert not waiters.is_fresh(request.id, user)
    waiters.submitted(request)
    assert waiters.is_fresh(request.id, user)
    assert not waiters.is_fresh(request.id, other)
    waiters.on_notice(Notice(Topic.ENDED, request.id))
    assert not waiters.is_fresh(request.id, user)
