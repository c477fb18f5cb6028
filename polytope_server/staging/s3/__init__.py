"""Staging in a bucket of an S3 server.

An object's key is its name. Its metadata hold the MD5; one that was written in parts has a small object
beside it for that, with the further ending `.md5`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from cachetools import TTLCache

from polytope_server.staging import (
    ObjectNotFoundError,
    StagedObject,
    Staging,
    StagingUnavailableError,
)
from polytope_server.staging.gathering import Gathering
from polytope_server.staging.multipart import Window
from polytope_server.staging.names import is_object_name, is_request_id, request_of
from polytope_server.staging.s3.bucket import prepare
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.errors import S3RefusedError
from polytope_server.staging.s3.objects import Download, Upload, checksum_name
from polytope_server.staging.s3.settings import LONGEST_EXPIRY, S3Settings
from polytope_server.staging.s3.unfinished import remove_unfinished

_MD5 = re.compile(r"[0-9a-f]{32}")
#: Bytes of parts that are on their way, of all objects together. One more part for each object is gathered.
_ON_THEIR_WAY = 24 << 20
#: Seconds that removing what an attempt wrote may take before the error is passed on.
_CLEARING_TIME = 10.0
#: Signing takes 0.3 ms, and is asked for by each poll of a result. An address has 90 % of its time left, and
#: is not kept for longer than temporary credentials last at least (10 minutes).
_KEPT_ADDRESSES, _KEPT_SHARE, _KEPT_TIME = 4096, 0.1, 300.0
_INVALID_RANGE = "InvalidRange"


class S3Staging(Staging):
    """Objects in a bucket, of which clients get signed or public addresses if the operator wants that."""

    Settings = S3Settings

    def __init__(
        self,
        settings: S3Settings,
        data: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        client: S3Client | None = None,
    ) -> None:
        self._settings = settings
        self._client = client or S3Client(settings)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="s3-md5")
        self._gathering = Gathering()
        self._window = Window(_ON_THEIR_WAY)
        self._clearing: set[asyncio.Task[None]] = set()
        expiry = min(settings.presigned_url_expiry, LONGEST_EXPIRY)
        self._addresses: TTLCache[str, str] = TTLCache(
            _KEPT_ADDRESSES, min(expiry * _KEPT_SHARE, _KEPT_TIME), clock
        )

    def limit_gathering(self, size: int) -> None:
        self._gathering.limit = size

    async def open(self) -> None:
        await self._client.connect()
        await prepare(self._client, self._settings)

    async def close(self) -> None:
        if self._clearing:
            await asyncio.wait(self._clearing, timeout=_CLEARING_TIME)
        self._client.close()
        self._hashing.shutdown(wait=False)

    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, md5: str | None = None
    ) -> StagedObject:
        _check_name(name)
        file = f"{request_of(name)}.{name.rpartition('.')[2]}"
        headers = {"ContentType": content_type, "ContentDisposition": f'attachment; filename="{file}"'}
        upload = Upload(self._client, self._gathering, self._window, self._hashing, name, headers, md5)
        try:
            size, computed = await upload.write(chunks, self._settings.buffer_size)
            if upload.etag:
                # One call has made it whole, with a checksum that S3 has verified: there is nothing to ask.
                return StagedObject(name, size, content_type, computed, time.time(), upload.etag)
            found = await self._head(name)
            if found.size != size:
                raise StagingUnavailableError(f"of the {size} bytes of a result S3 keeps {found.size}")
            return replace(found, md5=computed)
        except BaseException:
            await self._clear(upload)
            raise

    async def _clear(self, upload: Upload) -> None:
        """Remove what was written. The time is bounded, and the rest of it is done even so."""
        task = asyncio.create_task(upload.discard())
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)
        await asyncio.wait({task}, timeout=_CLEARING_TIME)

    async def stat(self, name: str) -> StagedObject:
        found = await self._head(name)
        return found if found.md5 else replace(found, md5=await self._checksum(name))

    async def _head(self, name: str) -> StagedObject:
        _check_name(name)
        try:
            answer = await self._client.call("head_object", Key=name)
        except S3RefusedError as error:
            raise _not_found(name, error) from error
        modified = answer["LastModified"].timestamp()
        # Names of metadata are those of headers: some servers write them with capitals.
        md5 = {key.lower(): value for key, value in answer["Metadata"].items()}.get("md5", "")
        etag = answer.get("ETag", "").strip('"')
        return StagedObject(name, answer["ContentLength"], answer["ContentType"], md5, modified, etag)

    async def _checksum(self, name: str) -> str:
        try:
            found = await self._client.run(
                "get_object", Download(self._client, checksum_name(name), 0, 32).read
            )
        except S3RefusedError as error:
            if error.missing:
                return ""
            raise
        md5 = found.decode("ascii", "replace")
        return md5 if _MD5.fullmatch(md5) else ""

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        _check_name(name)
        if length == 0:
            await self._head(name)
            return
        download = Download(self._client, name, start, None if length is None else start + length)
        try:
            while block := await self._client.run("get_object", download.read):
                yield block
        except S3RefusedError as error:
            if error.code != _INVALID_RANGE:  # there are no bytes from `start` on
                raise _not_found(name, error) from error
        finally:
            # In a thread, as one may still be reading.
            self._client.submit(download.close)

    async def delete(self, name: str) -> bool:
        try:
            found = await self._head(name)
        except ObjectNotFoundError:
            return False
        await self._remove(name)
        if not found.md5:
            await self._remove(checksum_name(name))
        return True

    async def _remove(self, key: str) -> None:
        await self._client.call("delete_object", Key=key)

    async def delete_request(self, request_id: str) -> int:
        if not is_request_id(request_id):
            return 0
        count = 0
        async for page in self._pages(f"{request_id}/"):
            # One by one: what removes many in one call is not understood by all servers in boto3's form.
            await asyncio.gather(*(self._remove(entry["Key"]) for entry in page))
            count += sum(1 for entry in page if is_object_name(entry["Key"]))
        return count

    async def list(self) -> AsyncIterator[StagedObject]:
        async for page in self._pages(""):
            for entry in page:
                # What others keep in the bucket is not ours.
                if is_object_name(entry["Key"]):
                    yield StagedObject(entry["Key"], entry["Size"], "", "", entry["LastModified"].timestamp())

    async def _pages(self, prefix: str) -> AsyncIterator[Sequence[dict[str, Any]]]:
        more: dict[str, str] = {}
        while True:
            answer = await self._client.call("list_objects_v2", Prefix=prefix, **more)
            yield answer.get("Contents", [])
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def abandoned(self, before: float) -> int:
        return await remove_unfinished(self._client, before)

    def public_url(self, name: str) -> str | None:
        if not is_object_name(name):
            return None
        if self._settings.use_presigned_url:
            address = self._addresses.get(name)
            if address is None:
                address = self._addresses[name] = self._client.presign(name)
            return address
        base = self._settings.public_url
        return f"{base}/{self._settings.bucket}/{name}" if base else None


def _check_name(name: str) -> None:
    # S3 would take nearly anything for a key.
    if not is_object_name(name):
        raise ObjectNotFoundError(name)


def _not_found(name: str, error: S3RefusedError) -> Exception:
    return ObjectNotFoundError(name) if error.missing else error
