"""The staging on a real S3 server: objects, addresses, buckets, errors, outages."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from botocore.httpsession import URLLib3Session
from s3_buckets import BUCKET, MIB, get, in_chunks, keys, settings_of

from polytope_server.staging import (
    ObjectNotFoundError,
    StagedObject,
    Staging,
    StagingUnavailableError,
)
from polytope_server.staging.names import new_object_name
from polytope_server.staging.s3 import S3Staging
from polytope_server.staging.s3.settings import S3Settings
from polytope_server.staging.s3.signing import Sender
from polytope_server.testing.staging import GRIB, chunked, names, read
from polytope_server.testing.waiting import until
from testbed.services import S3

#: A folder for back-ends that need none.
UNUSED = Path("unused")


class TestObjects:
    @pytest.fixture
    async def staging(self, make: Any) -> S3Staging:
        return await make()

    async def _put(self, staging: Staging, data: bytes = b"data") -> StagedObject:
        return await staging.create(new_object_name("r1", GRIB), chunked([data]), GRIB)

    async def test_an_object_of_one_part_exactly_is_written_at_once(
        self, staging: Staging, client: Any
    ) -> None:
        made = await self._put(staging, bytes(8 * MIB))
        assert keys(client) == {made.name}

    async def test_nothing_is_read_where_there_is_nothing(self, staging: Staging) -> None:
        made = await self._put(staging)
        assert await read(staging, made.name, 4) == b""
        assert await read(staging, made.name, 100, 5) == b""
        assert await read(staging, made.name, 1, 0) == b""
        with pytest.raises(ObjectNotFoundError):
            await read(staging, "r1/none.bin", 0, 0)

    async def test_a_reader_may_leave(self, staging: Staging) -> None:
        made = await self._put(staging, bytes(5 * MIB))
        blocks = staging.read(made.name)
        assert await anext(blocks)
        await blocks.aclose()
        assert len(await read(staging, made.name)) == 5 * MIB

    async def test_more_than_a_page_is_listed_and_deleted(self, staging: Staging, client: Any) -> None:
        made = {new_object_name("r1", GRIB) for _ in range(1100)}

        def fill() -> None:
            for name in made:
                client.put_object(Bucket=BUCKET, Key=name, Body=b"x")

        await asyncio.to_thread(fill)
        assert await names(staging) == made
        assert await staging.delete_request("r1") == 1100
        assert await names(staging) == set()

    async def test_what_others_keep_in_the_bucket_is_not_listed(self, staging: Staging, client: Any) -> None:
        client.put_object(Bucket=BUCKET, Key="somebody/elses.txt", Body=b"x")
        assert await names(staging) == set()

    async def test_deleting_a_bad_name_finds_nothing(self, staging: Staging) -> None:
        assert await staging.delete("../x") is False

    async def test_corrupted_data_are_refused(
        self, staging: S3Staging, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = URLLib3Session.send

        def corrupt(session: URLLib3Session, request: Any) -> Any:
            if request.method == "PUT":
                request.body = bytes(len(request.body))
            return real(session, request)

        monkeypatch.setattr(URLLib3Session, "send", corrupt)
        with pytest.raises(StagingUnavailableError, match="BadDigest"):
            await self._put(staging, b"x" * (2 * MIB))
        assert keys(client) == set()

    async def test_what_is_corrupted_on_its_way_is_sent_again(
        self, staging: S3Staging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, sent = Sender.send, []

        def corrupt(sender: Sender, request: Any) -> str:
            request.body = bytes(len(request.body))
            sent.append(real(sender, request))
            return str(sent[-1])

        monkeypatch.setattr(Sender, "send", corrupt)
        made = await self._put(staging)
        assert sent == [""]
        assert await read(staging, made.name) == b"data"

    async def test_a_small_object_needs_one_call(
        self, staging: S3Staging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        by_boto3 = "botocore.client.BaseClient._make_api_call"
        monkeypatch.setattr(by_boto3, lambda *call: calls.append(call[1]))
        made = await self._put(staging)
        monkeypatch.undo()
        assert calls == []
        assert await staging.stat(made.name) == made


class TestAddresses:
    async def _put(self, staging: Staging, data: bytes, content_type: str = GRIB) -> StagedObject:
        return await staging.create(new_object_name("r1", content_type), in_chunks(data), content_type)

    async def test_without_url_and_signing_the_frontend_serves(self, make: Any) -> None:
        assert (await make()).public_url("r1/x.grib") is None

    @pytest.mark.parametrize("size", [0, 1234, 12 * MIB])
    @pytest.mark.parametrize("content_type", [GRIB, "application/prs.coverage+json"])
    async def test_a_signed_address_gives_the_object(self, make: Any, size: int, content_type: str) -> None:
        staging = await make(use_presigned_url=True)
        data = os.urandom(size)
        made = await self._put(staging, data, content_type)
        address = staging.public_url(made.name)
        answer = await get(address)
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["Content-Type"] == content_type
        assert int(answer.headers["Content-Length"]) == size
        extension = made.name.rpartition(".")[2]
        assert answer.headers["Content-Disposition"] == f'attachment; filename="r1.{extension}"'

    async def test_a_signed_address_expires(self, make: Any) -> None:
        staging = await make(use_presigned_url=True, presigned_url_expiry="1")
        made = await self._put(staging, b"data")
        address = staging.public_url(made.name)
        statuses: list[int] = []

        def expired() -> bool:
            statuses.append(requests.get(address, timeout=20).status_code)
            return statuses[-1] != 200

        await until(expired)
        assert statuses[-1] == 403

    async def test_a_changed_address_is_refused(self, make: Any) -> None:
        staging = await make(use_presigned_url=True)
        first, second = await self._put(staging, b"first"), await self._put(staging, b"second")
        address = staging.public_url(first.name).replace(first.name, second.name)
        assert (await get(address)).status_code == 403

    async def test_signed_addresses_are_for_the_public_host(self, s3: S3, make: Any) -> None:
        public = f"http://localhost:{s3.port}"
        staging = await make(use_presigned_url=True, url=public)
        made = await self._put(staging, b"data")
        address = staging.public_url(made.name)
        assert address.startswith(f"{public}/{BUCKET}/r1/")
        assert (await get(address)).content == b"data"

    async def test_a_public_bucket_gives_objects_but_no_list(self, s3: S3, bucket: str, make: Any) -> None:
        host = f"127.0.0.1:{s3.port}"
        staging = await make(url=host, bucket=bucket, should_set_policy=True)
        made = await self._put(staging, b"data")
        assert staging.public_url(made.name) == f"http://{host}/{bucket}/{made.name}"
        assert (await get(staging.public_url(made.name))).content == b"data"
        assert (await get(f"http://{host}/{bucket}")).status_code == 403
        assert await names(staging) == {made.name}

    async def test_without_a_policy_nobody_else_reads(self, s3: S3, make: Any) -> None:
        staging = await make(url=s3.endpoint)
        made = await self._put(staging, b"data")
        assert (await get(staging.public_url(made.name))).status_code == 403


class TestBucket:
    async def test_a_bucket_that_is_made_has_a_rule_for_unfinished_uploads(
        self, make: Any, client: Any, bucket: str
    ) -> None:
        await make(bucket=bucket)
        (rule,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}

    async def test_a_bucket_that_exists_is_left_as_it_is(self, make: Any, client: Any, bucket: str) -> None:
        client.create_bucket(Bucket=bucket)
        await make(bucket=bucket)
        with pytest.raises(client.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
            client.get_bucket_lifecycle_configuration(Bucket=bucket)
        with pytest.raises(client.exceptions.ClientError, match="NoSuchBucketPolicy"):
            client.get_bucket_policy(Bucket=bucket)

    async def test_the_rules_of_others_stay(self, make: Any, client: Any, bucket: str) -> None:
        client.create_bucket(Bucket=bucket)
        other = {
            "ID": "other", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 30},
        }  # fmt: skip
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [other]})
        for _ in range(2):
            await make(bucket=bucket, should_set_lifecycle=True)
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert [rule["ID"] for rule in rules] == ["other", "polytope-server-unfinished-uploads"]
        assert rules[0] == other

    async def test_the_policy_only_lets_read(self, make: Any, client: Any, bucket: str) -> None:
        await make(bucket=bucket, should_set_policy=True)
        policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
        (statement,) = policy["Statement"]
        assert (statement["Effect"], statement["Resource"]) == ("Allow", f"arn:aws:s3:::{bucket}/*")
        assert statement["Action"] in ("s3:GetObject", ["s3:GetObject"])

    async def test_several_may_make_it(self, make: Any, client: Any, bucket: str) -> None:
        await asyncio.gather(*(make(bucket=bucket) for _ in range(4)))
        assert keys(client, bucket) == set()


class TestErrors:
    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"access_key": "unknown"}, "InvalidAccessKeyId"),
            ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ],
    )
    async def test_wrong_credentials_are_told_without_them(
        self, make: Any, keys: dict[str, str], message: str
    ) -> None:
        with pytest.raises(StagingUnavailableError, match=message) as caught:
            await make(**keys)
        text = f"{caught.value!r} {caught.value.__cause__!r}"
        assert f"'{BUCKET}'" in text
        assert not any(secret in text for secret in (*keys.values(), "secret key of the tests"))

    async def test_a_bucket_that_vanished_is_named(self, make: Any, client: Any, bucket: str) -> None:
        staging = await make(bucket=bucket)
        client.delete_bucket(Bucket=bucket)
        with pytest.raises(StagingUnavailableError, match=f"{bucket}.*NoSuchBucket"):
            await read(staging, "r1/x.grib")

    async def test_nothing_secret_is_logged(
        self, make: Any, s3: S3, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        staging = await make(use_presigned_url=True)
        made = await staging.create(new_object_name("r1", GRIB), chunked([b"x"]), GRIB)
        staging.public_url(made.name)
        assert s3.secret_key not in caplog.text
        assert "Signature" not in caplog.text
        assert s3.secret_key not in repr(settings_of(s3, use_presigned_url=True))

    async def test_before_it_is_opened_it_is_unavailable(self, s3: S3, tmp_path: Path) -> None:
        staging = S3Staging(settings_of(s3, use_presigned_url=True), tmp_path)
        with pytest.raises(StagingUnavailableError, match="not opened"):
            await staging.stat("r1/x.bin")
        with pytest.raises(StagingUnavailableError, match="not opened"):
            staging.public_url("r1/x.bin")
        await staging.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A server that may be killed."""
    with S3(tmp_path_factory.mktemp("service")) as service:
        yield service


class TestOutage:
    @pytest.fixture
    def settings(self, service: S3) -> S3Settings:
        """Those of a bucket that does not exist."""
        return settings_of(service, bucket=f"made-{uuid4().hex[:12]}")

    async def test_it_works_again_after_the_server(self, service: S3, settings: S3Settings) -> None:
        staging = S3Staging(settings, UNUSED)
        await staging.open()
        data = os.urandom(12 * MIB)
        made = await staging.create(new_object_name("r1", GRIB), in_chunks(data), GRIB)
        await asyncio.to_thread(service.kill)
        for attempt in (
            staging.stat(made.name),
            read(staging, made.name),
            staging.create(new_object_name("r2", GRIB), in_chunks(data), GRIB),
            names(staging),
            staging.delete(made.name),
            staging.delete_request("r1"),
            staging.abandoned(0.0),
        ):
            before = time.monotonic()
            with pytest.raises(StagingUnavailableError, match="cannot be reached"):
                await attempt
            assert time.monotonic() - before < 8
        await asyncio.to_thread(service.start)
        before = time.monotonic()
        assert await read(staging, made.name) == data
        other = await staging.create(new_object_name("r2", GRIB), in_chunks(data), GRIB)
        assert await names(staging) == {made.name, other.name}
        assert time.monotonic() - before < 5
        await staging.close()

    async def test_it_opens_once_the_server_is_there(self, service: S3, settings: S3Settings) -> None:
        await asyncio.to_thread(service.kill)
        staging = S3Staging(settings, UNUSED)
        before = time.monotonic()
        with pytest.raises(StagingUnavailableError, match=f"{service.port}.*cannot be reached"):
            await staging.open()
        assert time.monotonic() - before < 5
        await asyncio.to_thread(service.start)
        await staging.open()
        assert await names(staging) == set()
        await staging.close()

    async def test_an_upload_that_the_server_broke_off_is_found_later(
        self, service: S3, settings: S3Settings
    ) -> None:
        staging = S3Staging(settings, UNUSED)
        await staging.open()

        async def breaking_off() -> AsyncIterator[bytes]:
            for _ in range(25):
                yield bytes(MIB)
            await asyncio.to_thread(service.kill)
            for _ in range(25):
                yield bytes(MIB)

        name = new_object_name("r1", GRIB)
        with pytest.raises(StagingUnavailableError):
            await staging.create(name, breaking_off(), GRIB)
        await asyncio.to_thread(service.start)
        with pytest.raises(ObjectNotFoundError):
            await staging.stat(name)
        assert await staging.abandoned(time.time() + 60) == 1
        assert await staging.abandoned(time.time() + 60) == 0
        await staging.close()

    async def test_a_download_goes_on_after_a_break(self, service: S3, settings: S3Settings) -> None:
        staging = S3Staging(settings, UNUSED)
        await staging.open()
        data = os.urandom(40 * MIB)
        made = await staging.create(new_object_name("r1", GRIB), in_chunks(data), GRIB)
        blocks = staging.read(made.name)
        got = await anext(blocks)
        await asyncio.to_thread(service.kill)
        await asyncio.to_thread(service.start)
        async for block in blocks:
            got += block
        assert got == data
        await staging.close()
