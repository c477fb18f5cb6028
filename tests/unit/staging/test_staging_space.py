"""The room on the disk of a local staging: the reserve, who gives way, what the dead left."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from polytope_server.staging import (
    LargestObjectError,
    ObjectTooLargeError,
    StagedObject,
    Staging,
    StagingFullError,
)
from polytope_server.staging.local import LocalStaging, LocalStagingSettings
from polytope_server.staging.names import new_object_name
from polytope_server.testing.staging import GRIB, chunked, names
from polytope_server.testing.waiting import until

MIB = 1 << 20
DISK, RESERVE = 100 * MIB, 20 * MIB


class FakeDisk:
    """A disk of 100 MiB, on which there is the staging and, of others, `used` bytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.used = 0
        self.total = DISK

    @property
    def free(self) -> int:
        sizes = (path.stat().st_size for path in self.root.rglob("*") if path.is_file())
        return self.total - self.used - sum(sizes)

    def statvfs(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(f_blocks=self.total, f_frsize=1, f_bavail=max(0, self.free))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDisk:
    disk = FakeDisk(tmp_path)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    return disk


@pytest.fixture
async def staging(tmp_path: Path, disk: FakeDisk) -> AsyncIterator[Staging]:
    staging = LocalStaging(LocalStagingSettings(reserve=RESERVE), tmp_path)
    await staging.open()
    yield staging
    await staging.close()


class Stream:
    """Chunks that come when they are asked for: a data source that takes its time."""

    def __init__(self, staging: Staging, disk: FakeDisk) -> None:
        self._disk = disk
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.writing = asyncio.create_task(staging.create(new_object_name("r", GRIB), self._given(), GRIB))

    async def _given(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            yield chunk

    async def give(self, mebibytes: int) -> None:
        """Returns when they are written, or refused."""
        free = self._disk.free
        for _ in range(mebibytes):
            self._chunks.put_nowait(b"x" * MIB)
        await until(lambda: self.writing.done() or self._disk.free == free - mebibytes * MIB)

    async def end(self) -> StagedObject:
        self._chunks.put_nowait(b"")
        return await self.writing


async def put(staging: Staging, size: int) -> StagedObject:
    chunks = [b"x" * min(MIB, size - start) for start in range(0, size, MIB)]
    return await staging.create(new_object_name("r", GRIB), chunked(chunks), GRIB)


async def test_an_object_that_does_not_fit_alone_fails_with_both_numbers(
    staging: Staging, disk: FakeDisk, tmp_path: Path
) -> None:
    least = disk.free

    async def watched() -> AsyncIterator[bytes]:
        nonlocal least
        while True:
            least = min(least, disk.free)
            yield b"x" * MIB

    with pytest.raises(
        ObjectTooLargeError, match=f"has {81 * MIB} bytes or more; there is room for {80 * MIB}"
    ):
        await staging.create(new_object_name("r", GRIB), watched(), GRIB)
    assert least >= RESERVE
    assert disk.free == DISK
    assert await names(staging) == set()


async def test_small_objects_of_others_come_in_beside_one_that_fills_the_disk(
    staging: Staging, disk: FakeDisk
) -> None:
    large = Stream(staging, disk)
    await large.give(80)
    assert disk.free == RESERVE
    small = [await put(staging, 3 * MIB) for _ in range(2)]
    await large.give(2)  # a write that fails is noticed at the next chunk
    with pytest.raises(ObjectTooLargeError):
        await large.writing
    assert await names(staging) == {made.name for made in small}
    assert disk.free > RESERVE


async def test_the_reserve_is_not_used_up_beside_a_large_object_that_stalls(
    staging: Staging, disk: FakeDisk
) -> None:
    large = Stream(staging, disk)
    await large.give(80)
    with pytest.raises(StagingFullError) as error:
        await put(staging, 20 * MIB)
    # It is not to blame: it may come again.
    assert type(error.value) is StagingFullError
    assert disk.free == RESERVE
    large.writing.cancel()
    await asyncio.wait([large.writing])


async def test_of_two_large_objects_the_larger_one_gives_way(staging: Staging, disk: FakeDisk) -> None:
    larger, other = Stream(staging, disk), Stream(staging, disk)
    await other.give(30)
    await larger.give(50)
    await other.give(4)
    await larger.give(2)
    with pytest.raises(LargestObjectError, match="no room for 1048576 bytes more"):
        await larger.writing
    await other.give(30)
    assert (await other.end()).size == 64 * MIB


async def test_an_object_is_not_to_blame_for_a_disk_that_was_full_before(
    staging: Staging, disk: FakeDisk
) -> None:
    disk.used = 78 * MIB
    for size in (3 * MIB, 20):
        with pytest.raises(StagingFullError, match="0 are free beside the reserve") as error:
            await put(staging, size)
        assert type(error.value) is StagingFullError
        disk.used = 80 * MIB
    disk.used = 0
    await put(staging, 3 * MIB)


async def test_room_is_what_may_be_stored(staging: Staging, disk: FakeDisk) -> None:
    assert await staging.room() == 80 * MIB
    disk.used = 90 * MIB
    assert await staging.room() == -10 * MIB


async def test_what_is_announced_is_judged_before_it_comes(staging: Staging, disk: FakeDisk) -> None:
    await staging.admit(80 * MIB)
    message = f"has {80 * MIB + 1} bytes or more; there is room for {80 * MIB}"
    with pytest.raises(ObjectTooLargeError, match=message):
        await staging.admit(80 * MIB + 1)
    other = Stream(staging, disk)
    await other.give(40)
    for _ in range(2):
        with pytest.raises(StagingFullError, match="no room") as error:
            await staging.admit(50 * MIB)  # it fits when the other one is gone
        assert type(error.value) is StagingFullError
        if not other.writing.done():
            await other.end()


async def test_an_object_is_not_too_large_for_what_others_have_stored(
    staging: Staging, disk: FakeDisk
) -> None:
    """Their results may be gone when it comes again; what else is on the disk stays."""
    stored = await put(staging, 60 * MIB)
    with pytest.raises(LargestObjectError):
        await put(staging, 21 * MIB)
    await staging.delete(stored.name)
    disk.used = 60 * MIB
    with pytest.raises(ObjectTooLargeError):
        await put(staging, 21 * MIB)


async def test_results_that_were_removed_meanwhile_count_as_room(staging: Staging, disk: FakeDisk) -> None:
    stored = [await put(staging, 30 * MIB) for _ in range(2)]
    large = Stream(staging, disk)
    await large.give(10)
    await staging.delete(stored[0].name)
    await large.give(42)
    with pytest.raises(LargestObjectError):
        await large.writing


async def test_a_folder_without_room_is_named_at_the_start(
    disk: FakeDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.used = 90 * MIB
    staging = LocalStaging(LocalStagingSettings(reserve=RESERVE), tmp_path)
    await staging.open()
    assert f"no room beside its reserve: {10 * MIB} bytes more must be free" in caplog.text
    await staging.close()


@pytest.mark.parametrize(("total", "reserve"), [(1 << 30, (1 << 30) // 20), (1 << 40, 10 << 30)])
async def test_by_default_a_twentieth_is_reserved_or_ten_gibibytes(
    disk: FakeDisk, tmp_path: Path, total: int, reserve: int
) -> None:
    staging = LocalStaging(LocalStagingSettings(), tmp_path)
    await staging.open()
    disk.total = total
    await staging.admit(total - reserve)
    with pytest.raises(ObjectTooLargeError):
        await staging.admit(total - reserve + 1)
    await staging.close()


async def test_where_the_system_does_not_know_the_disk_nothing_is_refused(
    staging: Staging, disk: FakeDisk
) -> None:
    disk.total = 0
    assert (await put(staging, 3 * MIB)).size == 3 * MIB


async def test_what_dead_writers_left_is_removed_when_there_is_no_room(
    staging: LocalStaging, tmp_path: Path
) -> None:
    unfinished = tmp_path / "staging" / "unfinished"
    left, living, earlier = (unfinished / name for name in ("left.part", "living.part", "earlier"))
    for path in (left, living, earlier):
        with path.open("wb") as file:
            file.truncate(25 * MIB)
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert (await put(staging, 25 * MIB)).size == 25 * MIB
    # A process of an earlier version has no locks, so it is not known.
    assert sorted(path.name for path in unfinished.iterdir()) == ["earlier", "living.part"]


async def test_on_a_real_disk_the_reserve_stays_free(small_disk: Path) -> None:
    staging = LocalStaging(LocalStagingSettings(reserve=32 * MIB), small_disk)
    await staging.open()
    frees = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            status = os.statvfs(small_disk)
            frees.append(status.f_bavail * status.f_frsize)
            yield b"x" * MIB

    with pytest.raises(ObjectTooLargeError):
        await staging.create(new_object_name("r", GRIB), endless(), GRIB)
    assert min(frees) >= 32 * MIB
    assert (await put(staging, 40 * MIB)).size == 40 * MIB
    await staging.close()
