import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.object_store.space import Share, Space
from polytope_server.staging import LargestObjectError, ObjectTooLargeError, StagingFullError
from polytope_server.staging.space import Disk

MIB = 1 << 20


async def come(share: Share, *sizes: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size

    async for _ in share.counted(chunks()):
        pass


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, tmp_path, 0)


@pytest.fixture
def space(disk: Disk) -> Space:
    return Space(100, disk)


def fits(space: Space, size: int) -> bool:
    try:
        with space.share(size):
            return True
    except StagingFullError:
        return False


async def test_bytes_count_while_they_come(space: Space) -> None:
    with space.share(0) as share:
        await come(share, 60)
        with pytest.raises(StagingFullError, match="the quota of 100 bytes leaves 40"):
            space.share(41)
        assert fits(space, 40)


async def test_announced_bytes_count_at_once_and_only_once(space: Space) -> None:
    with space.share(60) as share:
        assert not fits(space, 41)
        await come(share, 30, 30)
        assert fits(space, 40)


async def test_what_is_given_up_is_given_back(space: Space) -> None:
    with pytest.raises(StagingFullError), space.share(10) as share:
        await come(share, 60, 60)
    assert fits(space, 100)


@pytest.mark.parametrize("announced", [0, 10, 50])
async def test_what_is_kept_counts_as_it_is(space: Space, announced: int) -> None:
    with space.share(announced) as share:
        await come(share, 10)
        share.keep()
    assert not fits(space, 91)
    assert fits(space, 90)
    space.give_back(10)
    assert fits(space, 100)


def test_without_a_quota_only_the_disk_counts(disk: Disk) -> None:
    space = Space(None, disk)
    space.count(1 << 60)
    with pytest.raises(ObjectTooLargeError, match=f"has {1 << 60} bytes or more"):
        space.share(1 << 60)


def test_what_others_have_announced_is_no_room(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "measure", lambda: (100 * MIB, 1000 * MIB))
    space = Space(None, disk)
    with space.share(60 * MIB), space.share(40 * MIB), pytest.raises(StagingFullError):
        space.share(1)
    with space.share(100 * MIB):
        pass


def test_what_is_there_may_be_more_than_the_quota(space: Space) -> None:
    space.count(150)
    assert not fits(space, 1)
    space.give_back(60)
    assert fits(space, 10)


async def test_what_is_larger_than_the_quota_is_too_large_for_good(disk: Disk) -> None:
    space = Space(100 * MIB, disk)
    with space.share(0) as share, pytest.raises(ObjectTooLargeError) as error:
        await come(share, *[10 * MIB] * 11)
    assert (error.value.size, error.value.room) == (110 * MIB, 100 * MIB)
    with pytest.raises(ObjectTooLargeError):
        space.share(101 * MIB)


async def test_what_others_have_stored_makes_no_object_too_large(disk: Disk) -> None:
    space = Space(100 * MIB, disk)
    space.count(60 * MIB)
    with pytest.raises(StagingFullError) as error:
        space.share(41 * MIB)
    assert type(error.value) is StagingFullError
    with space.share(0) as share, pytest.raises(LargestObjectError):
        await come(share, *[10 * MIB] * 5)


async def test_the_largest_object_gives_way_to_others(disk: Disk) -> None:
    space = Space(100 * MIB, disk)
    go_on = asyncio.Event()

    async def growing() -> AsyncIterator[bytes]:
        yield b"x" * (95 * MIB)
        await go_on.wait()
        yield b"x"

    async def write(share: Share) -> None:
        with share:
            async for _ in share.counted(growing()):
                pass

    large = space.share(0)
    writing = asyncio.create_task(write(large))
    while not large.size:  # noqa: ASYNC110
        await asyncio.sleep(0)
    with space.share(0) as small:
        await come(small, 10 * MIB)
        small.keep()
    go_on.set()
    with pytest.raises(LargestObjectError):
        await writing
    with space.share(90 * MIB), pytest.raises(StagingFullError):
        space.share(1)


async def test_an_object_that_is_complete_gives_way_to_no_other(space: Space) -> None:
    with space.share(0) as share:
        await come(share, 95)
        with pytest.raises(StagingFullError):
            space.share(10)
        share.keep()
    assert not fits(space, 6)


async def test_a_question_ends_no_object_that_is_being_written(space: Space) -> None:
    async def growing() -> AsyncIterator[bytes]:
        yield b"x" * 95
        for size in (6, 101):
            with pytest.raises((StagingFullError, ObjectTooLargeError)):
                space.admit(size)
        space.admit(5)
        yield b"x" * 5

    with space.share(0) as share:
        async for _ in share.counted(growing()):
            pass
    assert share.size == 100
