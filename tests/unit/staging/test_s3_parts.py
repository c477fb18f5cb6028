"""How objects are cut into parts, and how many bytes are on their way. No S3 is needed for that."""

import asyncio
import os

import pytest

from polytope_server.staging.multipart import LARGEST_PART, MOST_PARTS, SMALLEST_PART, Window, cut, part_sizes
from polytope_server.testing.staging import chunked
from polytope_server.testing.waiting import until

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


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
    async def test_all_bytes_come_in_parts_of_the_given_sizes(self, chunk: int, size: int) -> None:
        data = os.urandom(size)
        chunks = chunked(data[start : start + chunk] for start in range(0, size, chunk))
        parts = [part async for part in cut(chunks, iter([100, 100, 200, 1000]))]
        assert b"".join(part for part, _ in parts) == data
        assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]
        assert [len(part) for part, _ in parts[:-1]] == [100, 100, 200][: len(parts) - 1]
        assert len(parts[-1][0]) > 0 or size == 0

    async def test_parts_larger_than_what_is_small(self) -> None:
        data = os.urandom(3 * MIB + 1)
        chunks = chunked(data[start : start + 70_000] for start in range(0, len(data), 70_000))
        parts = [bytes(part) async for part, _ in cut(chunks, iter([MIB] * 4))]
        assert parts == [data[start : start + MIB] for start in range(0, len(data), MIB)]

    async def test_empty_chunks_do_no_harm(self) -> None:
        parts = [(bytes(part), last) async for part, last in cut(chunked([b"", b"ab", b""]), iter([2, 2]))]
        assert parts == [(b"ab", True)]


class TestWindow:
    async def test_what_does_not_fit_waits(self) -> None:
        window = Window(30)
        await window.enter(10)
        await window.enter(20)
        waiting = asyncio.create_task(window.enter(15))
        await until(lambda: window._turn.locked())
        window.leave(10)
        await asyncio.sleep(0)
        assert not waiting.done()
        window.leave(20)
        await waiting

    async def test_what_is_too_large_goes_alone(self) -> None:
        window = Window(30)
        await window.enter(50)
        waiting = asyncio.create_task(window.enter(1))
        await until(lambda: window._turn.locked())
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
            await until(lambda: window._turn.locked())
            assert entered == []
            window.leave(20)
        assert entered == [25, 1, 2]

    async def test_whoever_gives_up_waiting_holds_nobody_up(self) -> None:
        window = Window(10)
        await window.enter(10)
        waiting = asyncio.create_task(window.enter(10))
        await until(lambda: window._turn.locked())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        window.leave(10)
        for _ in range(10):
            await window.enter(1)
