"""Writes and reads single objects on S3."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError

from polytope_server.staging import ChecksumError, StagingUnavailableError
from polytope_server.staging.gathering import Gathering
from polytope_server.staging.multipart import Window, cut, part_sizes
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.errors import S3RefusedError

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Seconds that calls which run may still take before what they wrote is removed.
_LAST_CALLS = 5.0
#: A slow client has one such block in memory, and what the kernel holds.
_BLOCK = 1 << 20
NO_UPLOAD = "NoSuchUpload"


def checksum_name(name: str) -> str:
    """The small object that holds the MD5 of one that was written in parts.

    Metadata are fixed when the first part is sent, and not all servers have tags, or allow them.
    """
    return f"{name}.md5"


class Upload:
    """Writes one object: in one call if it is small, else in parts, of which several are on their way."""

    def __init__(
        self,
        client: S3Client,
        gathering: Gathering,
        window: Window,
        hashing: ThreadPoolExecutor,
        name: str,
        headers: dict[str, str],
        expected: str | None,
    ) -> None:
        """`hashing` has one thread, which keeps the order; `headers` are those of the object, `expected` the
        MD5 sum that it shall have, in hex.
        """
        self._client, self._gathering, self._window, self._hashing = client, gathering, window, hashing
        self._name, self._headers, self._expected = name, headers, expected
        self._digest = hashlib.md5(usedforsecurity=False)
        self._upload_id = ""
        self._parts: list[asyncio.Task[dict[str, Any]]] = []
        self._calls: set[asyncio.Task[Any]] = set()
        self._written: list[str] = []
        #: What S3 calls an object that one call has made whole; empty if it was made in parts.
        self.etag = ""

    async def write(self, chunks: AsyncIterator[bytes], part_size: int) -> tuple[int, str]:
        """Write the chunks; returns the size and the MD5. The last call makes the object appear.

        Raises ChecksumError and TooSlowError.
        """
        size = 0
        async with self._gathering.place() as place:
            async for part, last in cut(chunks, part_sizes(part_size), place):
                size += len(part)
                if last and not self._parts:
                    await self._put_whole(part)
                else:
                    await self._send_part(part)
                # While the next one is gathered, this one is to be forgotten as soon as it is sent.
                del part
        if self._parts:
            await self._complete()
        return size, self._digest.hexdigest()

    async def _put_whole(self, part: bytearray) -> None:
        await self._hash(part)
        metadata = {"md5": self._sum()}
        digest = self._digest.digest()
        self.etag = await self._put(self._name, part, md5=digest, Metadata=metadata, **self._headers)

    async def _put(self, name: str, body: bytes | bytearray, **parameters: Any) -> str:
        self._written.append(name)
        return await asyncio.shield(self._start(self._client.put(name, body, **parameters)))

    def _hash(self, part: bytearray) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._hashing, self._digest.update, part)

    def _sum(self) -> str:
        """The MD5 sum of all that was sent, in hex, if it is the one that was expected."""
        found = self._digest.hexdigest()
        if self._expected not in (None, found):
            raise ChecksumError(f"the data have the MD5 sum {found}, not {self._expected}")
        return found

    def _start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a call that ends by itself whatever becomes of its caller: a thread cannot be cancelled."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        # The error is not waited for any more: it is no news.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _send_part(self, part: bytearray) -> None:
        """Start to send a part, as soon as it may be on its way."""
        if not self._parts:
            await asyncio.shield(self._start(self._begin()))
        for sent in self._parts:
            if sent.done():
                sent.result()
        await self._window.enter(len(part))
        self._parts.append(self._start(self._upload(len(self._parts) + 1, part, self._hash(part))))

    async def _begin(self) -> None:
        begun = await self._client.transfer("create_multipart_upload", Key=self._name, **self._headers)
        self._upload_id = begun["UploadId"]

    async def _upload(self, number: int, part: bytearray, hashed: asyncio.Future[None]) -> dict[str, Any]:
        try:
            answer = await self._client.send(
                "upload_part", part, Key=self._name, UploadId=self._upload_id, PartNumber=number
            )
            return {"PartNumber": number, "ETag": answer["ETag"]}
        finally:
            await hashed
            self._window.leave(len(part))

    async def _complete(self) -> None:
        parts = [await asyncio.shield(part) for part in self._parts]
        await self._put(checksum_name(self._name), self._sum().encode(), ContentType="text/plain")
        self._written.append(self._name)
        try:
            await asyncio.shield(self._start(self._finish(parts)))
        except S3RefusedError:
            # Perhaps the call before, whose answer was lost, has done it. Servers say that in many ways.
            if not await self._exists():
                raise

    async def _exists(self) -> bool:
        try:
            await self._client.call("head_object", Key=self._name)
        except S3RefusedError:
            return False
        return True

    async def _finish(self, parts: list[dict[str, Any]]) -> None:
        await self._client.transfer(
            "complete_multipart_upload",
            Key=self._name,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": parts},
        )

    async def discard(self) -> None:
        """Leave nothing behind. What cannot be removed is logged; the garbage collector finds it."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_LAST_CALLS)
        try:
            if self._upload_id:
                await abort(self._client, self._name, self._upload_id)
            for name in self._written:
                await self._client.call("delete_object", Key=name)
        except StagingUnavailableError as error:
            logger.warning("what was written of %s is left behind: %s", self._name.partition("/")[0], error)


async def abort(client: S3Client, name: str, upload_id: str) -> bool:
    """Remove the parts of an unfinished object; False if there are none, none any more, or they stay."""
    try:
        await client.call("abort_multipart_upload", Key=name, UploadId=upload_id)
    except S3RefusedError as error:
        if error.lacking:
            client.warn_once("uploads cannot be aborted, and the parts of unfinished ones stay", error)
        elif error.code != NO_UPLOAD:
            raise
        return False
    return True


class Download:
    """Reads one object, in threads, from byte `start` to before `end` or to the end.

    A caller may give up on it while a thread still reads: the lock lets that finish.
    """

    def __init__(self, client: S3Client, name: str, start: int, end: int | None) -> None:
        self._client, self._name, self._position, self._end = client, name, start, end
        self._body: Any = None
        self._progress = False
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """The next bytes, none at the end.

        When they break off, as with a server that does not wait for slow clients, they are asked for again.
        """
        with self._lock:
            while True:
                try:
                    return self._read_block()
                except BotoCoreError:
                    self._drop()
                    if not self._progress:
                        raise
                    self._progress = False

    def _read_block(self) -> bytes:
        if self._end is not None and self._position >= self._end:
            return b""
        if self._body is None:
            self._open_body()
        block: bytes = self._body.read(_BLOCK)
        self._position += len(block)
        self._progress = True
        return block

    def _open_body(self) -> None:
        parameters = {}
        if self._position or self._end is not None:
            last = "" if self._end is None else self._end - 1
            parameters["Range"] = f"bytes={self._position}-{last}"
        answer = self._client.get(Key=self._name, **parameters)
        self._body = answer["Body"]
        if parameters and not answer["ContentRange"].startswith(f"bytes {self._position}-"):
            raise StagingUnavailableError("S3 sends other bytes of an object than those it was asked for")
        self._end = self._position + answer["ContentLength"]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
