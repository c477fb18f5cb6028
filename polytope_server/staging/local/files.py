"""The files of the staging in a local folder. All of this blocks, and is called in threads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from polytope_server.media_types import media_type
from polytope_server.staging import ChecksumError, StagedObject, StagingUnavailableError
from polytope_server.staging.checksums import Sums
from polytope_server.staging.names import is_object_name
from polytope_server.staging.space import Claim, lock

#: What the system says when there is no space.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class ObjectExistsError(ValueError):
    """There is an object of that name already: objects are written once."""


class Writer:
    """Writes one object, in a thread: gathers chunks, counts and sums them.

    A caller may give up on it while the thread still works: the lock lets one finish before the other.
    """

    def __init__(self, path: Path, sums: Sums, claim: Claim) -> None:
        self.path = path
        self._sums = sums
        self._claim = claim
        self._size = 0
        self._file: IO[bytes] | None = None
        self._target: Path | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def write(self, chunks: list[bytes]) -> None:
        """Append the chunks. Raises as :meth:`Claim.check`."""
        with self._lock:
            self._write(chunks)

    def _write(self, chunks: list[bytes]) -> IO[bytes]:
        if self._discarded:
            raise StagingUnavailableError("the object was given up")
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
            lock(self._file.fileno())
        more = sum(map(len, chunks))
        self._size += more
        self._claim.check(self._size, more)
        try:
            self._append(chunks, self._file)
        except OSError as error:
            if error.errno in FULL:  # a quota of the system, or others were quicker
                self._claim.refuse(self._size, more)
            raise
        return self._file

    def _append(self, chunks: list[bytes], file: IO[bytes]) -> None:
        for chunk in chunks:
            view = memoryview(chunk)
            self._sums.update(view)
            while view:
                view = view[file.write(view) :]

    def finish(self, chunks: list[bytes], target: Path, content_type: str, md5: str | None) -> StagedObject:
        """Write the last chunks, and make the object appear under its name, complete.

        The bytes are on disk before the name is. Raises ChecksumError if they do not have that MD5 sum, and
        ObjectExistsError.
        """
        with self._lock:
            file = self._write(chunks)
            if md5 is not None and md5 != self._sums.md5:
                raise ChecksumError(f"the data have the MD5 sum {self._sums.md5}, not {md5}")
            os.fsync(file.fileno())
            file.close()
            self._appear(target)
            _keep_meta(meta_of(target), content_type, self._sums.md5, self._sums.xxh3)
            return stat(target)

    def _appear(self, target: Path) -> None:
        # A link, unlike a renaming, never replaces the object of another writer.
        while True:
            target.parent.mkdir(exist_ok=True)
            try:
                os.link(self.path, target)
                break
            except FileExistsError:
                raise ObjectExistsError("there is an object of that name already") from None
            except FileNotFoundError:
                # The last other object of the request, and the folder with it, was removed just now.
                if target.parent.exists() or not self.path.exists():
                    raise
        self._target = target
        self.path.unlink()

    def discard(self) -> None:
        """Leave nothing behind, whatever was done so far."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
            self.path.unlink(missing_ok=True)
            if self._target is not None:
                remove(self._target)


def remove(path: Path) -> bool:
    """Remove an object and what belongs to it; False if there was none, or another removed it just now."""
    try:
        path.unlink()
        existed = True
    except FileNotFoundError:
        existed = False
    meta_of(path).unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:  # it holds another object, or is gone
        pass
    return existed


def remove_folder(folder: Path) -> int:
    """Remove a request's folder; returns how many objects it held."""
    count = sum(1 for _ in _files(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return count


def sweep(unfinished: Path, objects: Path, before: float) -> int:
    """Remove what unfinished writes left that were not written to since then; returns how many there were."""
    count = 0
    with os.scandir(unfinished) as files:
        for file in files:
            if _modified(file) < before:
                Path(file).unlink(missing_ok=True)
                count += 1
    with os.scandir(objects) as folders:
        for folder in folders:
            if _modified(folder) < before and next(_files(Path(folder)), None) is None:
                remove_empty_folder(Path(folder))
    return count


def remove_empty_folder(folder: Path) -> None:
    """Remove the folder of a request that held no object, and still holds none."""
    for left in folder.glob("*.meta"):
        if not left.with_suffix("").exists():
            left.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def meta_of(path: Path) -> Path:
    """The file beside an object that holds its media type and checksum."""
    return path.with_name(f"{path.name}.meta")


def set_md5(path: Path, md5: str, draft: Path) -> None:
    """Keep the MD5 sum of an object. `draft` is a free path on the same disk, for the time of writing.

    Raises FileNotFoundError if the object is gone; then nothing is left of it.
    """
    found = stat(path)
    try:
        kept = {"content_type": found.content_type, "etag": found.etag, **_meta(path), "md5": md5}
        draft.write_text(json.dumps(kept))
        draft.replace(meta_of(path))
    finally:
        draft.unlink(missing_ok=True)
    if not path.exists():
        remove(path)
        raise FileNotFoundError(path)


def _keep_meta(path: Path, content_type: str, md5: str, etag: str) -> None:
    path.write_text(json.dumps({"content_type": content_type, "md5": md5, "etag": etag}))


def _meta(path: Path) -> dict[str, Any]:
    """What is kept beside an object, that of later versions too; empty if it is lost."""
    try:
        found: dict[str, Any] = json.loads(meta_of(path).read_text())
    except (OSError, ValueError):
        return {}
    return found


def stat(path: Path) -> StagedObject:
    """What is known of an object. Raises FileNotFoundError."""
    status = path.stat()
    meta = _meta(path)
    if not meta:  # lost in a power cut: the name still shows the common types
        meta = {"content_type": media_type(path.suffix[1:]), "md5": ""}
    name = f"{path.parent.name}/{path.name}"
    kind, md5, etag = meta["content_type"], meta["md5"], meta.get("etag", "")
    return StagedObject(name, status.st_size, kind, md5, status.st_mtime, etag)


def listing(folders: Iterable[str | os.PathLike[str]]) -> Iterator[StagedObject]:
    """The objects in these folders, without type and checksum."""
    for folder in map(Path, folders):
        for entry in _files(folder):
            try:
                status = entry.stat()
            except FileNotFoundError:  # removed meanwhile
                continue
            yield StagedObject(f"{folder.name}/{entry.name}", status.st_size, "", "", status.st_mtime)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if is_object_name(f"{folder.name}/{entry.name}"):
                yield entry


def _modified(path: os.DirEntry[str]) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
