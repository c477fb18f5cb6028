"""What every cache promises. Inherit, and give the fixtures `cache` (open, empty) and `pass_time`.

Those on servers promise more: inherit :class:`RemoteCacheContract` instead.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from polytope_server.caching import JSON, Cache
from polytope_server.testing.cache_making import MakingContract

#: Lets a number of seconds pass, for the cache: by a clock of the test's own, or by waiting.
PassTime = Callable[[float], Awaitable[None]]


class CacheServer(Protocol):
    """The server of a remote cache, for a test that lets it fail."""

    port: int

    def start(self) -> None:
        """Start it, empty, on the same port; returns when it answers."""

    def kill(self) -> None:
        """End it at once."""

    def signal(self, number: int) -> None:
        """Send a signal to its processes, such as SIGSTOP."""


class CacheContract(MakingContract):
    """The contract tests."""

    @pytest.mark.parametrize("value", ["text", 0, 1.5, False, "", [], {}, {"a": [1, None, {"b": "é"}]}])
    async def test_a_value_comes_back(self, cache: Cache, value: JSON) -> None:
        await cache.set("key", value, 60)
        assert await cache.get("key") == value

    async def test_an_open_cache_answers_its_check(self, cache: Cache) -> None:
        await cache.check()

    async def test_an_unknown_key_has_no_value(self, cache: Cache) -> None:
        assert await cache.get("key") is None

    async def test_any_text_is_a_key(self, cache: Cache) -> None:
        long = "x" * 1000
        keys = [
            "",
            " ",
            "a b",
            "a\nb",
            "a\0",
            "é",
            "日本",
            "\ud800",
            "a#b",
            "$a.b",
            long,
            long + "y",
            "x" * 250,
        ]
        for one, other in itertools.pairwise(keys):
            await cache.set(one, 1, 60)
            await cache.set(other, 2, 60)
            assert (await cache.get(one), await cache.get(other)) == (1, 2)
            await cache.delete(one)
            assert (await cache.get(one), await cache.get(other)) == (None, 2)
            await cache.delete(other)

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

    async def test_numbers_are_added(self, cache: Cache) -> None:
        assert [await cache.add("key", amount, 60) for amount in (1, 1, 5, 100)] == [1, 2, 7, 107]
        assert await cache.add("another", 3, 60) == 3
        assert await cache.get("key") == 107
        assert [await cache.add("key", amount, 60) for amount in (-99, 1)] == [8, 9]
        assert await cache.get("key") == 9
        await cache.delete("key")
        assert await cache.add("key", 1, 60) == 1

    async def test_a_number_ends_in_the_time_of_the_first_addition(
        self, cache: Cache, pass_time: PassTime
    ) -> None:
        await cache.add("short", 1, 1)
        await cache.add("long", 1, 60)
        await pass_time(0.3)
        await cache.add("short", 1, 60)
        await pass_time(0.8)
        async with asyncio.timeout(10):
            while await cache.get("short") is not None:  # some servers count in whole seconds
                await pass_time(0.1)
        assert await cache.add("short", 1, 60) == 1
        assert await cache.add("long", 1, 60) == 2

    @pytest.mark.parametrize("value", ["text", 1.5, [], {"a": 1}])
    async def test_what_is_no_number_counts_as_none(self, cache: Cache, value: JSON) -> None:
        await cache.set("key", value, 60)
        assert await cache.add("key", 2, 60) == 2
        assert await cache.add("key", 1, 60) == 3

    async def test_no_addition_is_lost(self, cache: Cache) -> None:
        await cache.add("key", 1, 60)
        totals = await asyncio.gather(*(cache.add("key", 1, 60) for _ in range(10)))
        # A busy server may be too late for some.
        counted = [total for total in totals if total is not None]
        assert counted
        assert len(set(counted)) == len(counted)

    async def test_a_value_that_somebody_changes_stays_as_it_was_set(self, cache: Cache) -> None:
        given: list[JSON] = ["a"]
        await cache.set("key", given, 60)
        given.append("b")
        got = await cache.get("key")
        assert isinstance(got, list)
        got.append("c")
        assert await cache.get("key") == ["a"]


class RemoteCacheContract(CacheContract):
    """The contract tests of a cache on a server.

    Fixtures: `cache` (open, empty), `poison`, which puts bytes under the name that a key of that cache has on
    the server, `own` (a running server of the test's own) and `connect`, which makes a cache on a server.
    """

    @pytest.fixture
    def pass_time(self) -> PassTime:
        return asyncio.sleep

    async def test_a_fraction_of_a_second_counts(self, cache: Cache) -> None:
        await cache.set("key", "value", 0.05)
        async with asyncio.timeout(1):
            while await cache.get("key") is not None:  # noqa: ASYNC110 -- the time of the server
                await asyncio.sleep(0.01)

    @pytest.mark.parametrize("text", [b"", b"\x80\x04N.", b"nan nan", b"{", b"[" * 100_000, b"9" * 5000])
    async def test_what_is_no_value_is_none(
        self, cache: Cache, poison: Callable[[str, bytes], Awaitable[None]], text: bytes
    ) -> None:
        await poison("key", text)
        assert await cache.get("key") is None
        await cache.set("key", "value", 60)
        assert await cache.get("key") == "value"

    async def test_a_value_that_is_too_large_ends_the_earlier_one(self, cache: Cache) -> None:
        await cache.set("key", "a", 60)
        await cache.set("key", "x" * 1_000_000, 60)
        assert await cache.get("key") is None
        await cache.set("key", "x" * 900_000, 60)
        assert await cache.get("key") == "x" * 900_000

    async def test_a_very_long_time_is_no_harm(self, cache: Cache) -> None:
        await cache.set("key", "a", 1e11)
        assert await cache.get("key") == "a"

    async def test_two_processes_count_together(
        self, cache: Cache, own: CacheServer, connect: Callable[[CacheServer], Cache]
    ) -> None:
        one, other = connect(own), connect(own)
        await asyncio.gather(one.open(), other.open())
        assert [await each.add("key", 1, 60) for each in (one, other, one)] == [1, 2, 3]
        own.kill()
        assert [await each.add("key", 1, 60) for each in (one, other)] == [None, None]
        await one.close()
        await other.close()

    async def test_values_are_not_mixed_up_under_load(self, cache: Cache) -> None:
        async def use(number: int) -> bool:
            await cache.set(f"key {number}", [number] * 50, 60)
            return await cache.get(f"key {number}") in ([number] * 50, None)

        assert all(await asyncio.gather(*(use(number) for number in range(100))))

    async def test_an_outage_is_told_once_and_ends_by_itself(
        self, own: CacheServer, connect: Callable[[CacheServer], Cache], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "polytope_server")
        cache = connect(own)
        await cache.open()
        await cache.set("key", "before", 60)
        assert await cache.get("key") == "before"
        own.kill()
        await _lost(cache)
        own.start()
        await _back(cache, 5)
        await cache.close()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert str(own.port) in caplog.records[0].message

    async def test_a_server_that_does_not_answer_costs_one_time_out(
        self, own: CacheServer, connect: Callable[[CacheServer], Cache]
    ) -> None:
        cache = connect(own)
        await cache.open()
        await asyncio.gather(*(cache.set(str(number), number, 60) for number in range(5)))
        own.signal(signal.SIGSTOP)
        await _lost(cache)
        own.signal(signal.SIGCONT)
        await _back(cache, 5)
        # No late answer is taken for that of another question.
        assert all([await cache.get(str(number)) in (number, None) for number in range(5)])
        await cache.close()

    async def test_it_opens_while_the_server_is_down(
        self, own: CacheServer, connect: Callable[[CacheServer], Cache]
    ) -> None:
        own.kill()
        cache = connect(own)
        await cache.open()
        await _lost(cache)
        own.start()
        await _back(cache, 5)
        await cache.close()


async def _lost(cache: Cache) -> None:
    """The cache is empty, and quick: of 60 calls and more, only those of one time-out wait."""

    async def make() -> JSON:
        return "made"

    began = time.monotonic()
    for _ in range(10):
        assert await asyncio.gather(*(cache.get("key") for _ in range(5))) == [None] * 5
        await cache.set("key", "value", 60)
        await cache.delete("key")
        assert await cache.get_or_make("key", 60, make) == "made"
    assert time.monotonic() - began < 0.9


async def _back(cache: Cache, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await cache.get("key") != "after":
            await cache.set("key", "after", 60)
            await asyncio.sleep(0.02)
