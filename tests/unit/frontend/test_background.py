"""Work that takes turns: who is next, who is refused, and how long the pauses are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from polytope_server.frontend.background import BackgroundWork, BusyError

KIB = 1 << 10


class Jobs:
    """Jobs that write down who had a turn; the first waits until it is let go."""

    def __init__(self, background: BackgroundWork) -> None:
        self.background = background
        self.done: list[str] = []
        self.gate = threading.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def add(self, *users: str, size: int = KIB) -> None:
        for user in users:
            self.tasks.append(asyncio.create_task(self.background.run(user, partial(self._do, user), size)))
            await asyncio.sleep(0)

    def _do(self, user: str) -> None:
        self.gate.wait(30)
        self.done.append(user)

    async def end(self) -> list[Any]:
        self.gate.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs(BackgroundWork())


async def test_users_take_turns(jobs: Jobs) -> None:
    await jobs.add("ann", "ann", "ann", "ann", "bob", "cid")
    await jobs.end()
    assert jobs.done == ["ann", "bob", "cid", "ann", "ann", "ann"]


async def test_many_jobs_of_many_users_wait_for_their_turns(jobs: Jobs) -> None:
    await jobs.add(*[f"user{n % 16}" for n in range(256)])
    assert await jobs.end() == [None] * 256


async def test_a_user_with_too_many_jobs_is_refused_and_no_other(jobs: Jobs) -> None:
    await jobs.add(*["ann"] * 10, "bob", size=1 << 20)
    results = await jobs.end()
    assert [type(result) for result in results[8:10]] == [BusyError, BusyError]
    assert jobs.done.count("ann") == 8
    assert results[10] is None
    # And everything is forgotten
    await jobs.add("ann")
    assert await jobs.end() == [*results, None]


async def test_all_jobs_together_are_bounded_for_users_who_have_one(jobs: Jobs) -> None:
    await jobs.add(*[f"user{n % 64}" for n in range(130)], "uninvolved", size=1 << 20)
    results = await jobs.end()
    assert [isinstance(result, BusyError) for result in results] == [False] * 128 + [True] * 2 + [False]


async def test_a_job_that_has_no_turn_in_time_is_refused() -> None:
    background = BackgroundWork()
    jobs = Jobs(background)
    await jobs.add("ann")
    background.wait = 0.0
    await jobs.add("ann", "bob")
    await asyncio.wait(jobs.tasks[1:])
    assert [type(task.exception()) for task in jobs.tasks[1:]] == [BusyError, BusyError]
    assert (await jobs.end())[0] is None
    assert jobs.done == ["ann"]


async def test_after_a_job_or_a_step_comes_a_pause_of_twice_the_time_that_it_took() -> None:
    times, pauses = iter([10.0, 10.5, 20.0, 21.0, 30.0, 30.0]), list[float]()

    def pause(seconds: float, end: Callable[[], None]) -> None:
        pauses.append(seconds)
        end()

    background = BackgroundWork(clock=lambda: next(times), call_later=pause)
    await background.run("ann", lambda: None, 1)
    async with background.step("bob"):
        pass
    await background.run("ann", lambda: None, 1)
    await asyncio.sleep(0)
    assert pauses == [1.0, 2.0, 0.0]


async def test_a_step_waits_for_the_job_that_runs_and_for_one_of_its_own_user(jobs: Jobs) -> None:
    await jobs.add("ann")

    async def step(user: str) -> None:
        async with jobs.background.step(user):
            jobs.done.append(f"step of {user}")

    steps = [asyncio.create_task(step(user)) for user in ("ann", "bob", "bob", "cid")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert jobs.done == []
    await jobs.end()
    await asyncio.gather(*steps)
    assert jobs.done[0] == "ann"
    assert sorted(jobs.done[1:]) == ["step of ann", "step of bob", "step of bob", "step of cid"]


async def test_a_job_whose_caller_has_gone_keeps_its_turn_to_its_end(jobs: Jobs) -> None:
    await jobs.add("ann", "bob")
    jobs.tasks[0].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert jobs.done == []
    assert isinstance((await jobs.end())[0], asyncio.CancelledError)
    assert jobs.done == ["ann", "bob"]


async def test_the_error_of_a_job_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await BackgroundWork().run("ann", lambda: 1 // 0, 1)
