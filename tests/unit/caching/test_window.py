"""Counting what happened lately."""

from __future__ import annotations

from pathlib import Path

import pytest

from polytope_server.caching import JSON
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.caching.window import Count, SlidingWindow


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(tmp_path: Path, clock: Clock) -> SlidingWindow:
    return SlidingWindow(MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock), "w", 10, clock=clock)


async def test_what_happened_in_this_window_counts_in_full(window: SlidingWindow, clock: Clock) -> None:
    await window.add("a", 3)
    clock.now += 9.9
    count = await window.add("a")
    assert count is not None
    assert count.total == 4


async def test_what_happened_in_the_last_window_fades(window: SlidingWindow, clock: Clock) -> None:
    await window.add("a", 8)
    totals = []
    for _ in range(5):
        clock.now += 5
        totals.append((await window.look("a")).total)
    assert totals == [8, 8, 4, 0, 0]


async def test_names_are_apart(window: SlidingWindow) -> None:
    await window.add("a", 3)
    assert (await window.look("b")).total == 0


@pytest.mark.parametrize("value", [10**400, -(10**400), "x", 1e300, None, [1], {"a": 1}, True])
async def test_a_writer_to_the_cache_can_only_count(tmp_path: Path, clock: Clock, value: JSON) -> None:
    cache = MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock)
    window = SlidingWindow(cache, "w", 10, clock=clock)
    for number in (99_999, 100_000):
        await cache.set(f"w:a:{number}", value, 60)
    clock.now += 5
    for count in (await window.look("a"), await window.add("a")):
        assert count is not None
        assert 0 <= count.wait(3) <= 20


async def test_what_is_given_back_in_the_next_window_does_not_count_below_nothing(
    window: SlidingWindow, clock: Clock
) -> None:
    await window.add("a")
    clock.now += 10
    await window.add("a", -1)
    assert (await window.look("a")).current == 0


@pytest.mark.parametrize(
    "count",
    [
        Count(0, 5, 0.3, 10),
        Count(8, 0, 0.0, 10),
        Count(8, 2, 0.5, 10),
        Count(3, 9, 0.9, 10),
        Count(100, 100, 0.2, 10),
    ],
)
@pytest.mark.parametrize("most", [0, 1, 4])
def test_after_the_wait_there_are_no_more_than_that(count: Count, most: int) -> None:
    """And a moment before there are."""

    def total_after(seconds: float) -> float:
        passed = count.passed + seconds / count.seconds
        if passed < 1:
            return Count(count.previous, count.current, passed, count.seconds).total
        return Count(count.current, 0, passed - 1, count.seconds).total

    wait = count.wait(most)
    assert total_after(wait + 1e-6) <= most
    assert wait == 0 or total_after(wait - 1e-3) > most
