"""What every cache promises. Inherit, and give the fixtures `cache` (open, empty) and `pass_time`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from polytope_server.caching import JSON, Cache

#: Lets so many seconds pass, for the cache: by a clock of the test's own, or by waiting.
PassTime = Callable[[float], Awaitable[None]]


class CacheContract:
    """The contract tests."""

    @pytest.mark.parametrize("value", ["text", 0, 1.5, False, "", [], {}, {"a": [1, None, {"b": "é"}]}])
    async def test_a_value_comes_back(self, cache: Cache, value: JSON) -> None:
        await cache.set("key", value, 60)
        assert await cache.get("key") == value

    async def test_an_unknown_key_has_no_value(self, cache: Cache) -> None:
        assert await cache.get("key") is None

    async def test_a_value_ends_in_time(self, cache: Cache, pass_time: PassTime) -> None:
        await cache.set("short", "a", 1)
        await cache.set("long", "b", 60)
        await pass_time(1.1)
        assert await cache.get("short") is None
        assert await cache.get("long") == "b"

    async def test_the_latest_value_counts(self, cache: Cache, pass_time: PassTime) -> None:
        await cache.set("key", "a", 1)
        await cache.set("key", "b", 60)
        await pass_time(1.1)
        assert await cache.get("key") == "b"

    async def test_a_value_for_no_time_replaces_the_earlier_one_and_is_not_kept(self, cache: Cache) -> None:
        await cache.set("key", "a", 60)
        await cache.set("key", "b", 0)
        assert await cache.get("key") is None

    async def test_a_deleted_value_is_gone(self, cache: Cache) -> None:
        await cache.set("key", "a", 60)
        await cache.delete("key")
        await cache.delete("never set")
        assert await cache.get("key") is None

    async def test_a_value_that_somebody_changes_stays_as_it_was_set(self, cache: Cache) -> None:
        given: list[JSON] = ["a"]
        await cache.set("key", given, 60)
        given.append("b")
        got = await cache.get("key")
        assert isinstance(got, list)
        got.append("c")
        assert await cache.get("key") == ["a"]

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
