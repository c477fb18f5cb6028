from pathlib import Path

import pytest

from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.testing.caching import CacheContract, PassTime


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    async def cache(self, clock: Clock, tmp_path: Path) -> MemoryCache:
        cache = MemoryCache(MemoryCacheSettings(max_entries=3), tmp_path, clock=clock)
        await cache.open()
        return cache

    @pytest.fixture
    def pass_time(self, clock: Clock) -> PassTime:
        return clock.advance

    async def test_it_does_not_grow_beyond_its_bound(self, cache: MemoryCache) -> None:
        for number in range(10):
            await cache.set(str(number), number, 60)
        kept = [number for number in range(10) if await cache.get(str(number)) is not None]
        assert kept == [7, 8, 9]

    async def test_closing_forgets(self, cache: MemoryCache) -> None:
        await cache.set("key", "value", 60)
        await cache.close()
        assert await cache.get("key") is None
