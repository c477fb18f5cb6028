"""How far the work on a claim is decides whether it is cancelled, and what its end means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from polytope_server.worker.claims import Claims

CLAIM = ("r", 1)


@pytest.fixture
async def task() -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(asyncio.sleep(60))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_claim_is_held_from_its_begin_to_its_end(task: asyncio.Task[None]) -> None:
    claims = Claims()
    claims.begin(CLAIM, task)
    assert CLAIM in claims
    assert (claims.all(), len(claims)) == ({CLAIM}, 1)
    claims.end(CLAIM)
    assert CLAIM not in claims
    assert not len(claims)


async def test_work_on_a_lost_request_is_cancelled_once(task: asyncio.Task[None]) -> None:
    claims = Claims()
    claims.begin(CLAIM, task)
    assert claims.is_working(CLAIM)
    for _ in range(2):
        claims.abort("r")
    assert task.cancelling() == 1
    assert claims.is_lost(CLAIM)
    assert not claims.is_working(CLAIM)


async def test_work_that_has_come_to_an_outcome_is_not_cancelled(task: asyncio.Task[None]) -> None:
    claims = Claims()
    claims.begin(CLAIM, task)
    claims.mark_ending(CLAIM)
    claims.abort("r")
    assert not task.cancelling()
    assert not claims.is_working(CLAIM)
    assert not claims.is_lost(CLAIM)


async def test_of_a_request_of_another_worker_there_is_nothing_to_cancel() -> None:
    claims = Claims()
    claims.abort("r")
    claims.mark_ending(CLAIM)
    claims.end(CLAIM)
    assert not claims.is_working(CLAIM)


async def test_the_end_of_an_earlier_attempt_leaves_the_later_one(task: asyncio.Task[None]) -> None:
    claims = Claims()
    claims.begin(CLAIM, task)
    claims.begin(("r", 2), task)
    assert claims.is_lost(CLAIM)
    claims.mark_ending(CLAIM)
    claims.end(CLAIM)
    assert claims.is_working(("r", 2))
