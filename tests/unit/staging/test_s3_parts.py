"""How objects are cut into parts, and how many bytes are on their way. No S3 is needed for that."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from polytope_server.staging import TooSlowError, gathering
from polytope_server.staging.gathering import Gathering, Place
from polytope_server.staging.multipart import (
    LARGEST_PART,
    MOST_PARTS,
    SMALLEST_PART,
    Window,
    cut,
    part_sizes,
)
from polytope_server.testing.staging import chunked
from polytope_server.testing.waiting import until

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Where one object is gathered, without a bound."""
    async with Gathering().place() as one:
        yield one


class TestPartSizes:
    @pytest.mark.parametrize("first", [0, 1, SMALLEST_PART, 10 * MIB, 64 * MIB, LARGEST_PART, 6 * GIB])
    def test_the_limits_of_s3_are_kept(self, first: int) -> None:
        sizes = list(part_sizes(first))
        assert len(sizes) == MOST_PARTS
        assert min(sizes) >= SMALLEST_PART
        assert max(sizes) <= LARGEST_PART
        assert sum(sizes) >= 5 * TIB

    def test_parts_stay_small_for_what_is_not_huge(self) -> None:
        parts = part_sizes(10 * MIB)
        total = largest = 0
        while total < 100 * GIB:
            largest = next(parts)
            total += largest
            if total < 8 * GIB:
                assert largest == 10 * MIB
        assert largest <= 80 * MIB

    def test_parts_never_shrink(self) -> None:
        sizes = list(part_sizes(10 * MIB))
        assert sizes == sorted(sizes)


class TestCutting:
    @pytest.mark.parametrize("chunk", [1, 7, 99, 100, 101, 250, 5000])
    @pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 300, 999])
    async def test_all_bytes_come_in_parts_of_the_given_sizes(
        self, place: Place, chunk: int, size: int
    ) -> None:
        data = os.urandom(size)
        chunks = chunked(data[start : start + chunk] for start in range(0, size, chunk))
        parts = [part async for part in cut(chunks, iter([100, 100, 200, 1000]), place)]
        assert b"".join(part for part, _ in parts) == data
        assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]
        assert [len(part) for part, _ in parts[:-1]] == [100, 100, 200][: len(parts) - 1]
        assert len(parts[-1][0]) > 0 or size == 0

    async def test_parts_larger_than_what_is_small(self, place: Place) -> None:
        data = os.urandom(3 * MIB + 1)
        chunks = chunked(data[start : start + 70_000] for start in range(0, len(data), 70_000))
        parts = [bytes(part) async for part, _ in cut(chunks, iter([MIB] * 4), place)]
        assert parts == [data[start : start + MIB] for start in range(0, len(data), MIB)]

    async def test_empty_chunks_do_no_harm(self, place: Place) -> None:
        parts = [
            (bytes(part), last) async for part, last in cut(chunked([b"", b"ab", b""]), iter([2, 2]), place)
        ]
        assert parts == [(b"ab", True)]


async def all_wait() -> None:
    """Let all tasks run until each of them waits for another; there is nothing else to wait for here."""
    for _ in range(100):
        await asyncio.sleep(0)


class TestWindow:
    async def test_what_does_not_fit_waits(self) -> None:
        window = Window(30)
        await window.enter(10)
        await window.enter(20)
        waiting = asyncio.create_task(window.enter(15))
        await all_wait()
        window.leave(10)
        await all_wait()
        assert not waiting.done()
        window.leave(20)
        await waiting

    async def test_what_is_too_large_goes_alone(self) -> None:
        window = Window(30)
        await window.enter(50)
        waiting = asyncio.create_task(window.enter(1))
        await all_wait()
        assert not waiting.done()
        window.leave(50)
        await waiting

    async def test_small_ones_do_not_overtake(self) -> None:
        window, entered = Window(30), []

        async def enter(size: int) -> None:
            await window.enter(size)
            entered.append(size)

        await window.enter(20)
        async with asyncio.TaskGroup() as group:
            for size in (25, 1, 2):
                group.create_task(enter(size))
            await all_wait()
            assert entered == []
            window.leave(20)
        assert entered == [25, 1, 2]

    async def test_a_part_that_gives_up_waiting_holds_up_no_other(self) -> None:
        window = Window(10)
        await window.enter(10)
        waiting = asyncio.create_task(window.enter(10))
        await all_wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        window.leave(10)
        for _ in range(10):
            await window.enter(1)


class Object:
    """An object that is gathered from chunks which come when the test says so."""

    def __init__(self, gathering: Gathering, part: int = MIB) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.parts: list[int] = []
        self.task = asyncio.create_task(self._gather(gathering, part))

    async def _gather(self, gathering: Gathering, part: int) -> None:
        async with gathering.place() as place:
            async for found, _ in cut(self._come(), iter([part] * 100), place):
                self.parts.append(len(found))

    async def _come(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            yield chunk

    def give(self, size: int) -> None:
        self._chunks.put_nowait(bytes(size))


class TestGathering:
    @pytest.fixture(autouse=True)
    def _look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gathering, "_LOOK", 0.001)

    async def test_the_bytes_that_are_gathered_are_bounded(self) -> None:
        bound = Gathering()
        bound.limit = 3 * MIB
        objects = [Object(bound) for _ in range(10)]
        for one in objects:
            one.give(MIB // 2)
        await all_wait()
        assert bound.size == 3 * MIB
        for one in objects:
            one.give(MIB)
            one.give(0)
        await asyncio.gather(*(one.task for one in objects))
        assert [one.parts for one in objects] == [[MIB, MIB // 2]] * 10
        assert bound.size == 0

    async def test_what_is_small_waits_for_no_other(self) -> None:
        bound = Gathering()
        bound.limit = MIB
        stalled, small = Object(bound), Object(bound)
        stalled.give(MIB // 2)
        small.give(200_000)
        small.give(0)
        await small.task
        stalled.task.cancel()

    async def test_the_slowest_makes_room_for_those_who_wait(self) -> None:
        now = 0.0
        bound = Gathering(lambda: now)
        bound.limit = 3 * MIB
        slow, slowest, quick = (Object(bound) for _ in range(3))
        for one, size in ((slow, 400_000), (slowest, 300_000), (quick, 900_000)):
            one.give(size)
        await until(lambda: bound.size == 3 * MIB)
        now = 6.0
        waiting = Object(bound)
        waiting.give(MIB)
        await until(lambda: slowest.task.done())
        with pytest.raises(TooSlowError, match="came too slowly"):
            await slowest.task
        waiting.give(0)
        await waiting.task
        assert not slow.task.done()
        for one in (slow, quick):
            one.give(0)
            await one.task

    async def test_what_came_long_ago_does_not_count(self) -> None:
        now = 0.0
        bound = Gathering(lambda: now)
        bound.limit = 100 * MIB
        stalled = Object(bound, 100 * MIB)
        stalled.give(99 * MIB)
        await until(lambda: bound.size == 100 * MIB)
        now = 60.0
        waiting = Object(bound)
        waiting.give(MIB)
        await all_wait()
        now = 66.0
        with pytest.raises(TooSlowError):
            await stalled.task
        waiting.give(0)
        await waiting.task

    async def test_a_slow_object_is_left_alone_while_there_is_room(self) -> None:
        now = 0.0
        bound = Gathering(lambda: now)
        bound.limit = 3 * MIB
        slow, other = Object(bound), Object(bound)
        slow.give(300_000)
        await until(lambda: bound.size == MIB)
        now = 3600.0
        other.give(MIB)
        other.give(0)
        await other.task
        slow.give(0)
        await slow.task

    async def test_whose_part_waits_to_be_sent_is_not_slow(self) -> None:
        now = 0.0
        bound = Gathering(lambda: now)
        bound.limit = MIB
        async with bound.place() as place:
            parts = cut(chunked([bytes(300_000)]), iter([MIB]), place)
            await anext(parts)
            now = 3600.0
            waiting = Object(bound)
            waiting.give(MIB)
            await all_wait()
            assert bound.size == MIB
        waiting.give(0)
        await waiting.task

    async def test_there_is_no_bound_unless_there_is_one(self) -> None:
        bound = Gathering()
        objects = [Object(bound, 5 * MIB) for _ in range(10)]
        for one in objects:
            one.give(MIB)
        await until(lambda: bound.size == 50 * MIB)
        for one in objects:
            one.give(0)
        await asyncio.gather(*(one.task for one in objects))
