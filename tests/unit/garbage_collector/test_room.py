"""Who loses what when the staging is too large."""

from __future__ import annotations

from pathlib import Path

import pytest
from collector_site import BOB, DAY, HOUR, USER, Site

from polytope_server.garbage_collector.space import fair_level
from polytope_server.request import Status, Verb
from polytope_server.user import User


@pytest.mark.parametrize(
    ("sizes", "excess", "level"),
    [
        ([10], 3, 6),
        ([10, 4], 3, 6),
        ([10, 8, 1], 3, 7),
        ([10, 8, 1], 0, 9),
        ([5, 5, 5], 5, 3),
        ([5, 4], 100, 0),
        ([], 5, 0),
    ],
)
def test_the_user_that_has_most_is_reduced_first(sizes: list[int], excess: int, level: int) -> None:
    assert fair_level(sizes, excess) == level
    if sum(sizes) > excess:
        assert sum(max(0, size - level) for size in sizes) > excess


async def test_who_has_little_loses_nothing_for_who_has_much(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        small = await site.add(Status.PROCESSED, 9 * HOUR, size=10, user=BOB)
        large = [await site.add(Status.PROCESSED, age * HOUR, size=600) for age in (4, 3)]
        await site.collector.collect()
        assert await site.requests() == {small, large[1]}


async def test_uploads_that_wait_cost_nobody_a_result(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        upload = await site.add(Status.WAITING, verb=Verb.ARCHIVE)
        await site.put(upload, 5000)
        old = await site.add(Status.PROCESSED, 9 * HOUR, size=600, user=BOB)
        await site.collector.collect()
        assert await site.requests() == {upload, old}
        more = await site.add(Status.PROCESSED, 8 * HOUR, size=600, user=BOB)
        await site.collector.collect()
        assert await site.requests() == {upload, more}


async def test_what_was_not_downloaded_is_spared_while_it_is_young(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        young = [await site.add(Status.PROCESSED, age, size=600) for age in (30, 20, 10)]
        await site.collector.collect()
        assert await site.requests() == set(young)
        await site.store.mark_downloaded([young[1]])
        await site.collector.collect()
        assert await site.requests() == {young[0], young[2]}


async def test_nothing_is_spared_when_there_is_much_too_much(tmp_path: Path) -> None:
    async with Site(tmp_path, hard_threshold="1.5K") as site:
        young = [await site.add(Status.PROCESSED, age, size=600) for age in (30, 20, 10)]
        old = await site.add(Status.PROCESSED, 2 * HOUR, size=100, user=BOB)
        await site.collector.collect()
        assert await site.requests() == set(young[1:])
        assert old not in await site.requests()


async def test_a_full_disk_makes_room_in_the_second_pass_whatever_the_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none() -> int:
        return 16 << 20  # writers leave some bytes beside the reserve

    async with Site(tmp_path, threshold="1G") as site:
        young = [await site.add(Status.PROCESSED, age, size=600) for age in (30, 10)]
        old = await site.add(Status.PROCESSED, 2 * HOUR, size=100)
        monkeypatch.setattr(site.staging, "room", none)
        await site.collector.collect()
        assert await site.requests() == {*young, old}
        await site.collector.collect()
        assert await site.requests() == set(young)


async def test_nothing_is_spared_on_a_disk_that_is_still_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def little() -> int:
        return (16 << 20) - 500

    async with Site(tmp_path) as site:
        young = [await site.add(Status.PROCESSED, age, size=600) for age in (30, 10)]
        monkeypatch.setattr(site.staging, "room", little)
        await site.collector.collect()
        assert await site.requests() == set(young)
        await site.collector.collect()
        assert await site.requests() == {young[1]}


async def test_what_one_user_cannot_lose_the_next_one_loses(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        young = await site.add(Status.PROCESSED, size=900)
        old = [await site.add(Status.PROCESSED, age * HOUR, size=100, user=BOB) for age in (5, 4, 3)]
        await site.collector.collect()
        assert await site.requests() == {young, old[2]}


async def test_of_many_users_none_loses_more_than_it_must(tmp_path: Path) -> None:
    async with Site(tmp_path, threshold=5_000) as site:
        for number in range(4):
            for age in range(2, 9):
                await site.add(Status.PROCESSED, age * HOUR, size=100 * (number + 1), user=_user(number))
        await site.collector.collect()
        left = {usage.user_id: usage.size for usage in await site.store.usage(10)}
        assert [left[_user(number).id] for number in range(4)] == [700, 1400, 1500, 1200]


def _user(number: int) -> User:
    return User(f"u{number}", "r")


async def test_each_user_has_a_bounded_number_of_tombstones(tmp_path: Path) -> None:
    async with Site(tmp_path, tombstones=2) as site:
        old = [await site.add(Status.FAILED, 2 * DAY) for _ in range(5)]
        bobs = await site.add(Status.FAILED, 2 * DAY, user=BOB)
        await site.collector.collect()
        assert sum([await site.store.tombstone(one, USER.id) is not None for one in old]) == 2
        assert await site.store.tombstone(bobs, BOB.id) is not None


async def test_tombstones_are_forgotten(tmp_path: Path) -> None:
    async with Site(tmp_path, tombstone_age=0) as site:
        old = await site.add(Status.FAILED, 2 * DAY)
        await site.collector.collect()
        await site.collector.collect()
        assert await site.store.tombstone(old, USER.id) is None
