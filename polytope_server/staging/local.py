"""Staging in a folder of the local disk.

`objects/<request id>/<token>.<extension>` holds the bytes, a file beside it with the further ending
`.meta` their media type and checksum. An object is written under `unfinished/` and renamed when complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from polytope_server.staging import (
    EXTENSIONS,
    ObjectNotFoundError,
    StagedObject,
    Staging,
    StagingUnavailableError,
)

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(?:grib|covjson|bin)")
#: Small chunks are gathered to this size before they go to the disk.
_WRITE_SIZE = 1 << 20
#: Large reads: fewer turns through a thread for each gigabyte (measured, docs/architecture.md).
_READ_SIZE = 4 << 20
#: An object of up to this size is read in the event loop, which takes less time than going to a thread.
_SMALL = 64 << 10
_TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}


class LocalStagingSettings(BaseModel):
    """Keys of the staging in a local folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    root_dir: Path | None = Field(None, description="The folder; by default `staging` in the data folder.")


class _Writer:
    """Writes one object, in a thread: gathers chunks, counts and sums them.

    Whoever gives up on it may do so while the thread still works: the lock lets one finish before the other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.digest = hashlib.md5(usedforsecurity=False)
        self._file: IO[bytes] | None = None
        self._target: Path | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def write(self, chunks: list[bytes]) -> None:
        with self._lock:
            self._write(chunks)

    def _write(self, chunks: list[bytes]) -> IO[bytes]:
        if self._discarded:
            raise StagingUnavailableError("the object was given up")
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
        for chunk in chunks:
            view = memoryview(chunk)
            self.size += len(view)
            self.digest.update(view)
            while view:
                view = view[self._file.write(view) :]
        return self._file

    def finish(self, chunks: list[bytes], target: Path, content_type: str) -> StagedObject:
        """Write the last chunks, and make the object appear under its name, complete.

        The bytes are on disk before the name is.
        """
        with self._lock:
            file = self._write(chunks)
            os.fsync(file.fileno())
            file.close()
            target.parent.mkdir(exist_ok=True)
            self.path.rename(target)
            self._target = target
            meta = {"content_type": content_type, "md5": self.digest.hexdigest()}
            _meta(target).write_text(json.dumps(meta))
            return _stat(target)

    def discard(self) -> None:
        """Leave nothing behind, whatever was done so far."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
            self.path.unlink(missing_ok=True)
            if self._target is not None:
                _remove(self._target)


class LocalStaging(Staging):
    """Objects as files below `root_dir`, in folders that only this user may enter."""

    Settings = LocalStagingSettings

    def __init__(self, settings: LocalStagingSettings, data: Path) -> None:
        root = settings.root_dir or data / "staging"
        self._objects, self._unfinished = root / "objects", root / "unfinished"
        self._threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        try:
            for folder in (self._objects, self._unfinished):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StagingUnavailableError(f"cannot make the staging folder: {error}") from error
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="staging")

    async def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except FileNotFoundError as error:
            raise ObjectNotFoundError(str(error.filename)) from error
        except OSError as error:
            raise StagingUnavailableError(f"the staging folder cannot be used: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        # The pattern leaves no way out of the folder.
        if not _NAME.fullmatch(name):
            raise ObjectNotFoundError(name)
        return self._objects / name

    async def create(self, name: str, chunks: AsyncIterator[bytes], content_type: str) -> StagedObject:
        target = self._path(name)
        writer = _Writer(self._unfinished / uuid4().hex)
        try:
            gathered: list[bytes] = []
            size = 0
            async for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _WRITE_SIZE:
                    await self._run(writer.write, gathered)
                    gathered, size = [], 0

            return await self._run(writer.finish, gathered, target, content_type)
        except BaseException:
            writer.discard()
            raise

    async def stat(self, name: str) -> StagedObject:
        try:
            return _stat(self._path(name))
        except FileNotFoundError as error:
            raise ObjectNotFoundError(name) from error

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        try:
            file = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ObjectNotFoundError(name) from error
        try:
            end = os.fstat(file).st_size if length is None else start + length
            if end - start <= _SMALL:
                yield os.pread(file, end - start, start)
                return
            while start < end:
                chunk = await self._run(os.pread, file, min(_READ_SIZE, end - start), start)
                if not chunk:
                    raise StagingUnavailableError(f"{name} is shorter than it was")
                start += len(chunk)
                yield chunk
        finally:
            os.close(file)

    async def delete(self, name: str) -> bool:
        path = self._path(name)

        def remove() -> bool:
            existed = path.exists()
            _remove(path)
            return existed

        return await self._run(remove)

    async def delete_request(self, request_id: str) -> int:
        if not _NAME.fullmatch(f"{request_id}/x.bin"):
            return 0
        folder = self._objects / request_id

        def remove() -> int:
            count = sum(1 for _ in _files(folder))
            shutil.rmtree(folder, ignore_errors=True)
            return count

        return await self._run(remove)

    async def list(self) -> AsyncIterator[StagedObject]:
        for folder in await self._run(sorted, self._objects.iterdir()):
            for found in await self._run(_listing, folder):
                yield found

    async def abandoned(self, before: float) -> int:
        def remove() -> int:
            old = [path for path in self._unfinished.iterdir() if _modified(path) < before]
            for path in old:
                path.unlink(missing_ok=True)
            for folder in self._objects.iterdir():
                if _modified(folder) < before and next(_files(folder), None) is None:
                    shutil.rmtree(folder, ignore_errors=True)
            return len(old)

        return await self._run(remove)

    def public_url(self, name: str) -> str | None:
        return None


def _remove(path: Path) -> None:
    for file in (path, _meta(path)):
        file.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:  # it holds another object, or is gone
        pass


def _meta(path: Path) -> Path:
    return path.with_name(f"{path.name}.meta")


def _stat(path: Path) -> StagedObject:
    status = path.stat()
    try:
        meta = json.loads(_meta(path).read_text())
    except (OSError, ValueError):  # lost in a power cut: the name still tells the common types
        meta = {"content_type": _TYPES.get(path.suffix[1:], "application/octet-stream"), "md5": ""}
    name = f"{path.parent.name}/{path.name}"
    return StagedObject(name, status.st_size, meta["content_type"], meta["md5"], status.st_mtime)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if _NAME.fullmatch(f"{folder.name}/{entry.name}"):
                yield entry


def _listing(folder: Path) -> list[StagedObject]:
    found = []
    for entry in _files(folder):
        try:
            status = entry.stat()
        except FileNotFoundError:  # removed meanwhile
            continue
        found.append(StagedObject(f"{folder.name}/{entry.name}", status.st_size, "", "", status.st_mtime))
    return found


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
