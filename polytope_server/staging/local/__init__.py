"""Staging in a folder of the local disk.

`objects/<request id>/<token>.<extension>` holds the bytes, a file beside it with the further ending
`.meta` their media type and checksum. An object is written under `unfinished/` and appears when complete.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from polytope_server.settings.values import Size
from polytope_server.staging import (
    ObjectNotFoundError,
    StagedObject,
    Staging,
    StagingFullError,
    StagingUnavailableError,
)
from polytope_server.staging.checksums import Sums
from polytope_server.staging.local import files as files
from polytope_server.staging.names import is_object_name, is_request_id
from polytope_server.staging.space import LOCKED, Claim, Disk

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Small chunks are gathered to this size before they go to the disk.
_WRITE_SIZE = 1 << 20
#: Each reader that stalls holds a read or two; one that took that many bytes, each read within those
#: seconds, gets larger ones. That is more than the system takes for a reader that does not read at all. Among
#: many readers none gets larger ones: they may stall after the proof.
_READ_SIZE, _LARGE_READ_SIZE = 1 << 20, 4 << 20
_PROOF, _AT_ONCE, _FEW_READERS = 16 << 20, 0.02, 8
#: An object of up to this size is read in the event loop, which takes less time than going to a thread.
_SMALL = 64 << 10
#: Objects that are listed in one turn.
_LISTED = 512


class LocalStagingSettings(BaseModel):
    """Keys of the staging in a local folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    root_dir: Path | None = Field(None, description="The folder; by default `staging` in the data folder.")
    reserve: Size | None = Field(
        None,
        description="Space on the disk that results and uploads never take; by default 5 % of the disk, 10G "
        "at most.",
    )


class LocalStaging(Staging):
    """Objects as files below `root_dir`, in folders that only this user may enter."""

    Settings = LocalStagingSettings

    def __init__(self, settings: LocalStagingSettings, data: Path, *, md5_up_to: int | None = None) -> None:
        """Larger objects than `md5_up_to` bytes get their MD5 sum by :meth:`set_md5` only."""
        self._md5_up_to = md5_up_to
        self.root = settings.root_dir or data / "staging"
        self._objects, self._unfinished = self.root / "objects", self.root / "unfinished"
        self.disk = Disk(self._unfinished, self._objects, settings.reserve)
        self._threads: ThreadPoolExecutor | None = None
        self._readers = 0

    async def open(self) -> None:
        try:
            for folder in (self._objects, self._unfinished):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StagingUnavailableError(f"cannot make the staging folder: {error}") from error
        if self._threads is None:
            self._threads = ThreadPoolExecutor(16, thread_name_prefix="staging")
        if (room := await self.room()) <= 0:
            reason = f"{-room} bytes more must be free, or `reserve` be smaller"
            logger.warning("the staging folder %s has no room beside its reserve: %s", self.root, reason)

    async def check(self) -> None:
        await self._run_in_thread(self._objects.stat)

    async def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def _run_in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        with _staging_errors():
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def path_of(self, name: str) -> Path:
        """The file of an object. Raises ObjectNotFoundError for what cannot be the name of one."""
        # The pattern leaves no way out of the folder.
        if not is_object_name(name):
            raise ObjectNotFoundError(name)
        return self._objects / name

    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, md5: str | None = None
    ) -> StagedObject:
        """As the interface says. Raises ObjectExistsError, too."""
        target = self.path_of(name)
        sums = Sums(self._md5_up_to if md5 is None else None)
        unfinished = self._unfinished / f"{uuid4().hex}{LOCKED}"
        writer = files.Writer(unfinished, sums, Claim(self.disk, unfinished))
        writing: asyncio.Task[None] | None = None
        try:
            gathered: list[bytes] = []
            size = 0
            async for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _WRITE_SIZE:
                    if writing is not None:
                        await writing
                    # The next chunks are gathered meanwhile.
                    writing = asyncio.create_task(self._run_in_thread(writer.write, gathered))
                    gathered, size = [], 0
            if writing is not None:
                await writing
            return await self._run_in_thread(writer.finish, gathered, target, content_type, md5)
        except BaseException:
            await _finished(asyncio.create_task(self._give_up(writer, writing)))
            raise

    async def room(self) -> int:
        return (await self._run_in_thread(self.disk.measure))[0]

    async def admit(self, size: int) -> None:
        await self._run_in_thread(self.disk.admit, size)

    async def _give_up(self, writer: files.Writer, writing: asyncio.Task[None] | None) -> None:
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        # In a thread: it waits for the disk, which may take long.
        await self._run_in_thread(writer.discard)

    def set_md5(self, name: str, md5: str) -> None:
        """Keep the MD5 sum of an object, in hex; blocks. Raises OSError, FileNotFoundError if it is gone."""
        files.set_md5(self.path_of(name), md5, self._unfinished / uuid4().hex)

    async def stat(self, name: str) -> StagedObject:
        with _staging_errors(name):
            return files.stat(self.path_of(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        with _staging_errors(name):
            file = os.open(self.path_of(name), os.O_RDONLY | os.O_CLOEXEC)
        self._readers += 1
        try:
            end = os.fstat(file).st_size if length is None else start + length
            if end - start <= _SMALL:
                yield os.pread(file, end - start, start)
                return
            taken_at_once = 0
            while start < end:
                large = taken_at_once >= _PROOF and self._readers <= _FEW_READERS
                size = _LARGE_READ_SIZE if large else _READ_SIZE
                chunk = await self._run_in_thread(os.pread, file, min(size, end - start), start)
                if not chunk:
                    raise StagingUnavailableError(f"{name} is shorter than it was")
                start += len(chunk)
                given = time.monotonic()
                yield chunk
                quick = time.monotonic() < given + _AT_ONCE
                taken_at_once = taken_at_once + len(chunk) if quick else 0
        finally:
            self._readers -= 1
            os.close(file)

    async def delete(self, name: str) -> bool:
        return await self._run_in_thread(files.remove, self.path_of(name))

    async def delete_request(self, request_id: str) -> int:
        if not is_request_id(request_id):
            return 0
        return await self._run_in_thread(files.remove_folder, self._objects / request_id)

    async def of_request(self, request_id: str) -> list[StagedObject]:
        """The objects of a request, as :meth:`list` gives them."""
        if not is_request_id(request_id):
            return []
        return await self._run_in_thread(lambda: list(files.listing([self._objects / request_id])))

    async def list(self) -> AsyncIterator[StagedObject]:
        with await self._run_in_thread(os.scandir, self._objects) as folders:
            objects = files.listing(folders)
            while some := await self._run_in_thread(lambda: list(islice(objects, _LISTED))):
                for found in some:
                    yield found

    async def abandoned(self, before: float) -> int:
        return await self._run_in_thread(files.sweep, self._unfinished, self._objects, before)

    def public_url(self, name: str) -> str | None:
        return None


async def _finished(work: asyncio.Task[None]) -> None:
    """Wait for work that must not be left half done, even if this task is cancelled once more."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(work)
    work.result()


@contextmanager
def _staging_errors(name: str | None = None) -> Iterator[None]:
    """Turns what the system says into what the interface does; `name` is that of the object."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFoundError(name or str(error.filename)) from error
    except OSError as error:
        kind = StagingFullError if error.errno in files.FULL else StagingUnavailableError
        raise kind(f"the staging folder cannot be used: {error.strerror}") from error
