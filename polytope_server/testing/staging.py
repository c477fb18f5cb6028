"""What every staging promises. Inherit, and give the fixture `staging` an open, empty one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Iterable
from itertools import groupby

import pytest

from polytope_server.media_types import COVERAGE_JSON, GRIB
from polytope_server.staging import ChecksumError, ObjectNotFoundError, StagedObject, Staging
from polytope_server.staging.names import new_object_name, request_of

__all__ = ["GRIB", "StagingContract", "breaking", "chunked", "names", "read"]


async def chunked(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Chunks as a data source gives them."""
    for chunk in chunks:
        yield chunk


async def breaking(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Chunks of a data source that fails in the end."""
    for chunk in chunks:
        yield chunk
    raise RuntimeError("broken off")


async def read(staging: Staging, name: str, start: int = 0, length: int | None = None) -> bytes:
    """All the bytes at once."""
    return b"".join([chunk async for chunk in staging.read(name, start, length)])


async def names(staging: Staging) -> set[str]:
    """The names of all objects."""
    return {found.name async for found in staging.list()}


class StagingContract:
    """The contract tests."""

    async def _put(self, staging: Staging, data: bytes = b"data", request: str = "r1") -> StagedObject:
        return await staging.create(new_object_name(request, GRIB), chunked([data]), GRIB)

    async def test_an_open_staging_answers_its_check(self, staging: Staging) -> None:
        await staging.check()

    @pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20, (9 << 20) + 7])
    async def test_an_object_is_read_as_it_was_written(self, staging: Staging, size: int) -> None:
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        chunks = [data[start : start + 400_001] for start in range(0, size, 400_001)]
        made = await staging.create(new_object_name("r1", GRIB), chunked(chunks), GRIB)
        assert (made.size, made.content_type, made.md5) == (size, GRIB, hashlib.md5(data).hexdigest())  # noqa: S324
        assert await staging.stat(made.name) == made
        assert await read(staging, made.name) == data
        assert abs(made.modified - time.time()) < 60

    @pytest.mark.parametrize("size", [0, 5, (17 << 20) + 3])
    async def test_an_announced_md5_is_checked(self, staging: Staging, size: int) -> None:
        data = b"x" * size
        chunks = [data[start : start + (1 << 20)] for start in range(0, size, 1 << 20)]
        md5 = hashlib.md5(data).hexdigest()  # noqa: S324
        made = await staging.create(new_object_name("r1", GRIB), chunked(chunks), GRIB, md5)
        assert (made.size, made.md5) == (size, md5)
        with pytest.raises(ChecksumError, match=f"{md5}, not {'0' * 32}"):
            await staging.create(new_object_name("r1", GRIB), chunked(chunks), GRIB, "0" * 32)
        assert await names(staging) == {made.name}
        assert await staging.abandoned(time.time() + 60) == 0

    async def test_other_bytes_have_another_tag(self, staging: Staging) -> None:
        made = [await self._put(staging, data) for data in (b"data", b"DATA")]
        found = [await staging.stat(each.name) for each in made]
        assert [each.etag for each in found] == [each.etag for each in made]
        assert len({each.etag for each in found}) == 2

    async def test_a_part_is_read(self, staging: Staging) -> None:
        data = bytes(range(256)) * 40_000
        made = await self._put(staging, data)
        assert await read(staging, made.name, 300, 5) == data[300:305]
        assert await read(staging, made.name, 10_000_000) == data[10_000_000:]
        assert await read(staging, made.name, 1, 9_000_000) == data[1:9_000_001]

    async def test_an_unfinished_object_never_appears(self, staging: Staging) -> None:
        name = new_object_name("r1", GRIB)
        with pytest.raises(RuntimeError, match="broken off"):
            await staging.create(name, breaking([b"x" * 2_000_000]), GRIB)
        with pytest.raises(ObjectNotFoundError):
            await staging.stat(name)
        assert await names(staging) == set()
        assert await staging.abandoned(time.time() + 60) == 0

    @pytest.mark.parametrize(
        "name", ["r1/abc.grib", "nothing", "../etc/passwd", "r1/../../x.bin", "r1/.x.bin", ""]
    )
    async def test_an_unknown_or_bad_name_is_not_found(self, staging: Staging, name: str) -> None:
        with pytest.raises(ObjectNotFoundError):
            await staging.stat(name)
        with pytest.raises(ObjectNotFoundError):
            await read(staging, name)

    async def test_objects_are_listed_with_size_and_time(self, staging: Staging) -> None:
        made = [await self._put(staging, b"x" * size, f"r{size}") for size in (1, 2, 3)]
        found = {entry.name: entry async for entry in staging.list()}
        assert {name: entry.size for name, entry in found.items()} == {
            entry.name: entry.size for entry in made
        }
        assert all(abs(entry.modified - time.time()) < 60 for entry in found.values())

    async def test_objects_of_one_request_are_listed_together(self, staging: Staging) -> None:
        for request in ("r1", "r2", "r3") * 3:
            await self._put(staging, request=request)
        found = [request_of(entry.name) async for entry in staging.list()]
        assert len(found) == 9
        assert len([request_id for request_id, _ in groupby(found)]) == 3

    async def test_deleting(self, staging: Staging) -> None:
        first, second = await self._put(staging), await self._put(staging)
        assert await staging.delete(first.name) is True
        assert await staging.delete(first.name) is False
        assert await names(staging) == {second.name}

    async def test_deleting_all_of_a_request(self, staging: Staging) -> None:
        await self._put(staging, request="r1")
        await self._put(staging, request="r1")
        other = await self._put(staging, request="r2")
        assert await staging.delete_request("r1") == 2
        assert await staging.delete_request("r1") == 0
        assert await staging.delete_request("../r2") == 0
        assert await names(staging) == {other.name}

    async def test_names_are_unguessable_and_tell_the_type(self, staging: Staging) -> None:
        first, second = new_object_name("r1", GRIB), new_object_name("r1", GRIB)
        assert first != second
        assert len(first.split("/")[1]) == 32 + len(".grib")
        assert new_object_name("r", COVERAGE_JSON).endswith(".covjson")
        assert new_object_name("r", "text/plain").endswith(".bin")
