"""Which log-in is checked next."""

from __future__ import annotations

import asyncio

import pytest

from polytope_server.accounts.fair_queue import FairQueue, Flow, Reputation, in_flow
from polytope_server.authentication import AuthenticationUnavailableError

TRUSTED, UNKNOWN, SUSPECT = Reputation.TRUSTED, Reputation.UNKNOWN, Reputation.SUSPECT


class Desk:
    """One slot, which a first caller holds until :meth:`serve`; then the order of all others is noted."""

    def __init__(self, limit: int = 1000) -> None:
        self.queue = FairQueue(1, limit, clock=lambda: 0.0)  # so that no rest takes time
        self.order: list[str] = []
        self._open = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, reputation: Reputation, address: str, name: str, times: int = 1) -> None:
        for _ in range(times):
            word = f"{address}/{name}"
            task = asyncio.ensure_future(self._visit(Flow(reputation, address, name), word))
            self._tasks[f"{word}#{len(self._tasks)}"] = task
            for _ in range(3):  # until it waits, and who gives way to it has heard of that
                await asyncio.sleep(0)

    async def _visit(self, flow: Flow, word: str) -> None:
        with in_flow(flow):
            async with self.queue.slot():
                await self._open.wait()
                self.order.append(word)

    async def serve(self) -> list[str]:
        """The order; the first was there before all others."""
        self._open.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks.values(), return_exceptions=True), 10)
        return self.order[1:]

    def leave(self, number: int) -> None:
        list(self._tasks.values())[number].cancel()

    @property
    def refused(self) -> list[str]:
        failed = [name for name, task in self._tasks.items() if task.done() and task.exception()]
        assert all(
            isinstance(self._tasks[name].exception(), AuthenticationUnavailableError) for name in failed
        )
        return [name.partition("#")[0] for name in failed]


async def busy_desk(limit: int = 1000) -> Desk:
    desk = Desk(limit)
    await desk.come(TRUSTED, "first", "")
    return desk


@pytest.fixture
async def desk() -> Desk:
    return await busy_desk()


async def test_who_is_trusted_waits_for_one_of_each_other_group_at_most(desk: Desk) -> None:
    await desk.come(UNKNOWN, "u", "", 50)
    await desk.come(SUSPECT, "s", "", 50)
    await desk.come(TRUSTED, "t", "")
    assert "t/" in (await desk.serve())[:3]


async def test_addresses_take_turns(desk: Desk) -> None:
    await desk.come(UNKNOWN, "flood", "a", 50)
    await desk.come(UNKNOWN, "quiet", "a")
    assert "quiet/a" in (await desk.serve())[:2]


async def test_names_of_an_address_take_turns(desk: Desk) -> None:
    await desk.come(UNKNOWN, "x", "guessed", 50)
    await desk.come(UNKNOWN, "x", "quiet")
    assert "x/quiet" in (await desk.serve())[:2]


async def test_many_names_give_an_address_no_more_turns(desk: Desk) -> None:
    for number in range(50):
        await desk.come(UNKNOWN, "flood", str(number))
    await desk.come(UNKNOWN, "quiet", "a")
    assert "quiet/a" in (await desk.serve())[:2]


async def test_everybody_gets_a_turn(desk: Desk) -> None:
    for reputation in Reputation:
        for address in "ab":
            await desk.come(reputation, address + reputation.name, "n", 3)
    assert len(await desk.serve()) == 18


async def test_one_suspect_at_a_time_although_slots_are_free() -> None:
    queue = FairQueue(4, 1000, clock=lambda: 0.0)
    served = most = 0

    async def visit(reputation: Reputation) -> None:
        nonlocal served, most
        with in_flow(Flow(reputation)):
            async with queue.slot():
                served += 1
                most = max(most, served)
                await asyncio.sleep(0.001)
                served -= 1

    await asyncio.gather(*(visit(SUSPECT) for _ in range(5)))
    assert most == 1
    await asyncio.gather(*(visit(UNKNOWN) for _ in range(5)))
    assert most == 4


async def test_a_suspect_rests_as_long_as_it_took_while_others_use_the_slot() -> None:
    queue = FairQueue(1, 1000)
    began = asyncio.get_running_loop().time

    async def visit(reputation: Reputation) -> float:
        with in_flow(Flow(reputation)):
            async with queue.slot():
                start = began()
                await asyncio.sleep(0.05 if reputation is SUSPECT else 0)
        return start

    first, second, other = await asyncio.gather(*map(visit, (SUSPECT, SUSPECT, UNKNOWN)))
    assert second - first >= 0.09
    assert other - first < second - first


async def test_of_too_many_one_of_the_longest_line_gives_way() -> None:
    desk = await busy_desk(11)  # with the first one, who is served
    await desk.come(TRUSTED, "t", "")
    await desk.come(UNKNOWN, "quiet", "a")
    await desk.come(UNKNOWN, "flood", "quiet")
    await desk.come(UNKNOWN, "flood", "guessed", 20)
    await desk.come(UNKNOWN, "another", "a")
    await desk.come(TRUSTED, "u", "")
    assert desk.refused == ["flood/guessed"] * 15
    assert len(await desk.serve()) == 10


async def test_suspects_give_way_to_others() -> None:
    desk = await busy_desk(4)
    await desk.come(SUSPECT, "s", "", 3)
    await desk.come(UNKNOWN, "flood", "", 2)
    assert desk.refused == ["s/", "s/"]


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_who_goes_away_leaves_the_turn_to_others(desk: Desk, number: int) -> None:
    await desk.come(SUSPECT, "a", "")
    await desk.come(SUSPECT, "b", "")
    await desk.come(UNKNOWN, "c", "")
    desk.leave(number)
    await asyncio.sleep(0)
    left = {"first/", "a/", "b/", "c/"} - {["first/", "a/", "b/"][number]}
    await desk.serve()
    assert set(desk.order) == left
    # And no slot is lost.
    async with asyncio.timeout(1), desk.queue.slot():
        pass


async def test_who_goes_away_in_the_moment_of_the_turn_gives_it_back() -> None:
    queue = FairQueue(1, 10)

    async def hold(release: asyncio.Event) -> None:
        async with queue.slot():
            await release.wait()

    release = asyncio.Event()
    holder, next_one = asyncio.ensure_future(hold(release)), asyncio.ensure_future(hold(asyncio.Event()))
    await asyncio.sleep(0)
    release.set()
    await holder
    next_one.cancel()  # its turn has come, and it has not run yet
    await asyncio.gather(next_one, return_exceptions=True)
    async with asyncio.timeout(1), queue.slot():
        pass
