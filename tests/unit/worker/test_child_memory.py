"""The memory of children: a limit for each job, what becomes of one that needs more, who goes first."""

from __future__ import annotations

import mmap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.datasource import DataSourceError, Job, TemporaryError
from polytope_server.worker import memory
from polytope_server.worker.assignment import Assignment
from polytope_server.worker.children import Child
from polytope_server.worker.fork_server import ForkServer

MIB = 1 << 20
SOURCE = {"collection": "c", "name": "greedy", "type": "greedy", "settings": {}}
pytestmark = pytest.mark.usefixtures("greedy")


def job(request: str, max_memory: int | None) -> Assignment:
    return Assignment("c", "greedy", max_memory, Job("r", "retrieve", request, {"data": request}, "u", "x"))


@pytest.fixture
async def child(fork_server: ForkServer, greedy: None) -> AsyncIterator[Child]:
    child = await Child.start(
        {"sources": [SOURCE], "coercion": {}, "logging": {}, "secrets": []}, fork_server
    )
    yield child
    await child.kill()


async def outcome(child: Child, request: str, max_memory: int | None) -> int:
    _, chunks = await child.run(job(request, max_memory))
    return int(b"".join([chunk async for chunk in chunks]))


async def test_a_job_that_needs_more_memory_than_it_may_fails_for_good(child: Child) -> None:
    with pytest.raises(
        DataSourceError, match="needs more memory than the 256 MiB that its data source may use"
    ):
        await outcome(child, f"take {300 * MIB}", 256 * MIB)
    # What it holds is let go of with the process.
    assert not child.usable
    assert await child.ended() == 1


async def test_each_job_has_the_limit_of_its_data_source(child: Child) -> None:
    assert await outcome(child, "take 1000", 256 * MIB) == 1000
    assert await outcome(child, f"take {300 * MIB}", 512 * MIB) == 300 * MIB
    with pytest.raises(DataSourceError, match="more memory"):
        await outcome(child, f"take {300 * MIB}", 256 * MIB)


async def test_without_a_limit_a_job_has_what_the_system_gives(child: Child) -> None:
    assert memory.allowed("unlimited") is None
    assert await outcome(child, f"take {300 * MIB}", None) == 300 * MIB
    # More than a process can address: whether it would fit another time is not known.
    with pytest.raises(TemporaryError, match="ended unexpectedly"):
        await outcome(child, f"take {1 << 60}", None)
    assert not child.usable


async def test_files_that_are_mapped_do_not_count(child: Child) -> None:
    assert await outcome(child, f"map {1 << 40}", 256 * MIB) == 1 << 40


async def test_a_job_does_not_fail_for_what_those_before_it_left_behind(child: Child) -> None:
    assert await outcome(child, f"keep {200 * MIB}", 512 * MIB) == 200 * MIB
    with pytest.raises(TemporaryError, match="ended unexpectedly"):
        await outcome(child, f"take {200 * MIB}", 256 * MIB)
    assert not child.usable


async def test_the_kernel_ends_a_child_before_its_worker(child: Child) -> None:
    own, its = (int(Path(f"/proc/{process}/oom_score_adj").read_text()) for process in ("self", child.pid))
    assert its == min(own + 500, 1000)
    assert its > own


def test_what_is_in_use_is_what_counts() -> None:
    before = memory.used()
    # Of the kernel itself: an allocator may have that much left of what was freed.
    with mmap.mmap(-1, 64 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        assert memory.used() - before >= len(taken)
