"""A budget: how often it is measured, and that it is never exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from polytope_server.frontend import budget as module
from polytope_server.frontend.budget import Budget, UsedUpError
from polytope_server.request_store import StoreUnavailableError


class Stored:
    """What is stored; counts how often it was measured."""

    def __init__(self, used: int = 0) -> None:
        self.used = used
        self.measured = 0
        self.down = False

    async def measure(self) -> int:
        self.measured += 1
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailableError("down")
        return self.used

    async def store(self, budget: Budget, amount: int = 1, *, fail: bool = False) -> bool:
        """Whether there was room."""
        try:
            async with budget.reserve(amount):
                await asyncio.sleep(0)
                if fail:
                    raise StoreUnavailableError("down")
                self.used += amount
                await asyncio.sleep(0)
        except UsedUpError:
            return False
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass, which it does not by itself."""
    now = 100.0

    def pass_(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    return pass_


def thousandth(used: int) -> float:
    return used / 1000


@pytest.mark.usefixtures("clock")
async def test_a_small_one_is_exact_whatever_others_store_and_remove() -> None:
    stored = Stored()
    budget = Budget(3, stored.measure, thousandth)
    assert [await stored.store(budget) for _ in range(4)] == [True, True, True, False]
    stored.used -= 1  # another process
    assert [await stored.store(budget) for _ in range(2)] == [True, False]
    stored.used += 5
    assert not await stored.store(budget)


@pytest.mark.usefixtures("clock")
async def test_a_large_one_is_measured_for_each_thousandth_part_only() -> None:
    stored = Stored(500_000)
    budget = Budget(1_000_000, stored.measure, thousandth)
    assert all([await stored.store(budget) for _ in range(5000)])
    assert stored.measured <= 11


@pytest.mark.parametrize("used", [0, 7, 5000])
async def test_of_many_at_the_same_moment_as_many_get_in_as_there_is_room(used: int) -> None:
    stored = Stored(used)
    budget = Budget(used + 10, stored.measure, thousandth)
    outcomes = await asyncio.gather(*(stored.store(budget) for _ in range(30)))
    assert (sum(outcomes), stored.used) == (10, used + 10)


async def test_one_that_is_used_up_is_measured_again_after_a_rest(clock: Callable[[float], None]) -> None:
    stored = Stored(100_000)
    budget = Budget(100_000, stored.measure, thousandth)
    assert not await stored.store(budget)
    before, stored.used = stored.measured, 99_999
    assert not await stored.store(budget)
    assert stored.measured == before
    clock(1.5)
    assert await stored.store(budget)


@pytest.mark.usefixtures("clock")
async def test_what_could_not_be_stored_is_given_back() -> None:
    stored = Stored(5000)
    budget = Budget(5004, stored.measure, thousandth)
    for _ in range(4):
        with pytest.raises(StoreUnavailableError):
            await stored.store(budget, fail=True)
    assert [await stored.store(budget) for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.usefixtures("clock")
async def test_a_measurement_that_fails_forgets_nothing() -> None:
    stored = Stored()
    budget = Budget(10, stored.measure, lambda used: 4)
    assert [await stored.store(budget) for _ in range(4)] == [True] * 4
    stored.down = True
    with pytest.raises(StoreUnavailableError):
        await stored.store(budget)
    stored.down = False
    assert [await stored.store(budget) for _ in range(7)] == [True] * 6 + [False]


@pytest.mark.usefixtures("clock")
async def test_nothing_is_measured_for_who_takes_little() -> None:
    stored = Stored()
    budget = Budget(8000, stored.measure, lambda used: max((8000 - used) / 8, 125))
    for _ in range(10):
        assert await stored.store(budget, 100)
    assert stored.measured == 0
    while await stored.store(budget, 100):
        assert stored.used <= 8000
    assert stored.used == 8000
    assert stored.measured < 40
