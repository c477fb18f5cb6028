"""What every cache promises about values that are made when they are missing: a part of its contract."""

from __future__ import annotations

import asyncio

import pytest

from polytope_server.caching import JSON, Cache


class MakingContract:
    """The contract tests."""

    async def test_a_value_is_made_once_for_all_who_wait(self, cache: Cache) -> None:
        made: list[str] = []

        async def make() -> JSON:
            made.append("once")
            await asyncio.sleep(0)
            return "value"

        values = await asyncio.gather(*(cache.get_or_make("key", 60, make) for _ in range(5)))
        assert values == ["value"] * 5
        assert await cache.get_or_make("key", 60, make) == "value"
        assert made == ["once"]

    async def test_who_looked_before_it_was_made_does_not_make_it_again(
        self, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        get = cache.get
        looks = 0
        made: list[str] = []
        second = asyncio.Event()

        async def slow_the_second_time(key: str) -> JSON:
            nonlocal looks
            looks += 1
            late = looks == 2
            found = await get(key)
            if late:
                await second.wait()
            return found

        async def make() -> JSON:
            made.append("once")
            return "value"

        monkeypatch.setattr(cache, "get", slow_the_second_time)
        callers = [asyncio.ensure_future(cache.get_or_make("key", 60, make)) for _ in range(2)]
        assert await callers[0] == "value"
        second.set()
        assert await callers[1] == "value"
        assert made == ["once"]

    async def test_a_value_may_say_how_long_it_is_kept(self, cache: Cache) -> None:
        made: list[JSON] = []

        async def make() -> JSON:
            made.append(len(made))
            return made[-1]

        for _ in range(2):
            await cache.get_or_make("briefly", lambda value: 0, make)
        for _ in range(2):
            assert await cache.get_or_make("long", lambda value: 60 if value == 2 else 0, make) == 2
        assert made == [0, 1, 2]

    async def test_what_could_not_be_made_is_tried_again(self, cache: Cache) -> None:
        async def fail() -> JSON:
            raise ConnectionError

        async def nothing() -> JSON:
            return None

        async def make() -> JSON:
            return "value"

        with pytest.raises(ConnectionError):
            await cache.get_or_make("key", 60, fail)
        assert await cache.get_or_make("key", 60, nothing) is None
        assert await cache.get_or_make("key", 60, make) == "value"

    async def test_a_caller_who_goes_away_does_not_take_the_value_along(self, cache: Cache) -> None:
        ready = asyncio.Event()

        async def make() -> JSON:
            await ready.wait()
            return "value"

        first = asyncio.ensure_future(cache.get_or_make("key", 60, make))
        second = asyncio.ensure_future(cache.get_or_make("key", 60, make))
        await asyncio.sleep(0)
        first.cancel()
        ready.set()
        assert await second == "value"
