"""The staging on a real S3 server, SeaweedFS: the contract, in one piece and in parts."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from s3_buckets import BUCKET, MIB, in_chunks, keys, uploads

from polytope_server.staging import ObjectNotFoundError, Staging
from polytope_server.staging.names import new_object_name
from polytope_server.staging.s3.client import S3Client
from polytope_server.testing.staging import GRIB, StagingContract, breaking, names, read


class TestS3Staging(StagingContract):
    @pytest.fixture
    async def staging(self, make: Any) -> Staging:
        return await make()


class TestS3StagingInParts(StagingContract):
    """The same with the smallest parts, so that the largest object of the contract has two."""

    @pytest.fixture
    async def staging(self, make: Any) -> Staging:
        return await make(buffer_size="5M")

    async def test_what_is_larger_than_a_part_is_written_in_parts(
        self, staging: Staging, client: Any
    ) -> None:
        data = os.urandom(23 * MIB + 5)
        made = await staging.create(new_object_name("r1", GRIB), in_chunks(data), GRIB)
        assert client.head_object(Bucket=BUCKET, Key=made.name)["ETag"].endswith('-5"')
        assert await staging.stat(made.name) == made
        assert await read(staging, made.name) == data
        assert await read(staging, made.name, 5 * MIB - 3, 7) == data[5 * MIB - 3 : 5 * MIB + 4]
        assert uploads(client) == []

    async def test_a_chunk_may_be_larger_than_parts(self, staging: Staging) -> None:
        data = os.urandom(12 * MIB)
        made = await self._put(staging, data)
        assert await read(staging, made.name) == data

    async def test_many_objects_at_a_time(self, staging: Staging) -> None:
        data = [os.urandom(11 * MIB) for _ in range(5)]
        made = await asyncio.gather(*(self._put(staging, each, f"r{n}") for n, each in enumerate(data)))
        for each, found in zip(data, made, strict=True):
            assert await read(staging, found.name) == each

    async def test_deleting_leaves_nothing(self, staging: Staging, client: Any) -> None:
        first, _ = [await self._put(staging, bytes(6 * MIB), request) for request in ("r1", "r2")]
        assert keys(client) != await names(staging)  # the checksums
        assert await staging.delete(first.name) is True
        assert await staging.delete_request("r2") == 1
        assert keys(client) == set()

    async def test_without_its_checksum_an_object_is_still_found(self, staging: Staging, client: Any) -> None:
        made = await self._put(staging, bytes(6 * MIB))
        client.put_object(Bucket=BUCKET, Key=f"{made.name}.md5", Body=b"no checksum")
        assert await staging.stat(made.name) == replace(made, md5="")
        client.delete_object(Bucket=BUCKET, Key=f"{made.name}.md5")
        assert await staging.stat(made.name) == replace(made, md5="")

    async def test_a_source_that_fails_leaves_nothing(self, staging: Staging, client: Any) -> None:
        name = new_object_name("r1", GRIB)
        with pytest.raises(RuntimeError, match="broken off"):
            await staging.create(name, breaking([bytes(MIB)] * 17), GRIB)
        assert (keys(client), uploads(client)) == (set(), [])

    async def test_giving_up_leaves_nothing(self, staging: Staging, client: Any) -> None:
        sending = asyncio.Event()

        async def stalling() -> AsyncIterator[bytes]:
            for _ in range(12):
                yield bytes(MIB)
            sending.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(staging.create(new_object_name("r1", GRIB), stalling(), GRIB))
        await sending.wait()
        task.cancel("lost")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("lost",)
        assert (keys(client), uploads(client)) == (set(), [])

    @pytest.mark.parametrize(
        "operation", ["create_multipart_upload", "upload_part", "put_object", "complete_multipart_upload"]
    )
    async def test_giving_up_at_any_call_leaves_nothing(self, make: Any, client: Any, operation: str) -> None:
        reached = asyncio.Event()

        class Seen(S3Client):
            async def run(self, name: str, *arguments: Any) -> Any:
                if name == operation:
                    reached.set()
                return await super().run(name, *arguments)

        staging = await make(Seen, buffer_size="5M")
        task = asyncio.create_task(self._put(staging, bytes(12 * MIB)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (keys(client), uploads(client)) == (set(), [])

    async def test_an_unfinished_object_is_not_visible(self, staging: Staging) -> None:
        sent, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            for _ in range(12):
                yield bytes(MIB)
            sent.set()
            await go_on.wait()

        name = new_object_name("r1", GRIB)
        writing = asyncio.create_task(staging.create(name, slow(), GRIB))
        await sent.wait()
        with pytest.raises(ObjectNotFoundError):
            await staging.stat(name)
        assert await names(staging) == set()
        go_on.set()
        assert (await writing).size == 12 * MIB

    async def test_a_completion_whose_answer_was_lost_counts(self, make: Any) -> None:
        class Repeating(S3Client):
            async def transfer(self, name: str, **parameters: Any) -> Any:
                if name == "complete_multipart_upload":
                    await super().transfer(name, **parameters)
                return await super().transfer(name, **parameters)

        staging = await make(Repeating, buffer_size="5M")
        made = await self._put(staging, bytes(6 * MIB))
        assert await staging.stat(made.name) == made

    async def test_an_upload_that_goes_on_is_no_old_one(self, staging: Staging, client: Any) -> None:
        where = {"Bucket": BUCKET, "Key": new_object_name("r1", GRIB)}
        where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
        (begun,) = [found["Initiated"] for found in uploads(client) if found["Key"] == where["Key"]]
        while True:  # the server's times are whole seconds
            client.upload_part(**where, PartNumber=1, Body=bytes(5 * MIB))
            last = max(part["LastModified"] for part in client.list_parts(**where)["Parts"])
            if (last - begun).total_seconds() >= 1:
                break
            await asyncio.sleep(0.1)
        assert await staging.abandoned(last.timestamp()) == 0
        assert await staging.abandoned(last.timestamp() + 1) == 1

    async def test_old_uploads_are_removed(self, staging: Staging, client: Any) -> None:
        ours, foreign = new_object_name("r1", GRIB), "somebody/elses"
        for key in (ours, foreign):
            client.create_multipart_upload(Bucket=BUCKET, Key=key)
        client.put_object(Bucket=BUCKET, Key=f"{ours}.md5", Body=b"")
        assert await staging.abandoned(time.time() - 60) == 0
        assert await staging.abandoned(time.time() + 60) == 1
        assert [upload["Key"] for upload in uploads(client)] == [foreign]
        assert keys(client) == set()
