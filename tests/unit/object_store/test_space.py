from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.object_store.space import Share, Space
from polytope_server.staging.local import StagingFullError


async def come(share: Share, *sizes: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size

    async for _ in share.counted(chunks()):
        pass


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return Space(100, tmp_path)


async def test_bytes_count_while_they_come(space: Space) -> None:
    with space.share(0) as share:
        await come(share, 60)
        with pytest.raises(StagingFullError, match="the quota of 100 bytes leaves 40"):
            space.take(41)
        space.take(40)


async def test_announced_bytes_count_at_once_and_only_once(space: Space) -> None:
    with space.share(60) as share:
        with pytest.raises(StagingFullError):
            space.share(41)
        await come(share, 30, 30)
        space.take(40)


async def test_what_is_given_up_is_given_back(space: Space) -> None:
    with pytest.raises(StagingFullError), space.share(10) as share:
        await come(share, 60, 60)
    space.take(100)


@pytest.mark.parametrize("announced", [0, 10, 50])
async def test_what_is_kept_counts_as_it_is(space: Space, announced: int) -> None:
    with space.share(announced) as share:
        await come(share, 10)
        share.keep()
    with pytest.raises(StagingFullError):
        space.take(91)
    space.take(90)
    space.give_back(10)
    space.take(10)


def test_without_a_quota_only_the_disk_counts(tmp_path: Path) -> None:
    space = Space(None, tmp_path)
    space.take(1 << 60)
    with pytest.raises(StagingFullError, match="the disk has no room"):
        space.share(1 << 60)


def test_what_is_there_may_be_more_than_the_quota(space: Space) -> None:
    space.count(150)
    with pytest.raises(StagingFullError):
        space.take(1)
    space.give_back(60)
    space.take(10)
