"""Files in archives, and in archives in archives."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import IO


def extract(archive: Path, inside: Sequence[str], target: Path) -> None:
    """Write a file of an archive (.zip, .whl or .tgz) to `target`.

    `inside` are patterns of names: each but the last one finds an archive in the archive before. Raises
    LookupError if one finds nothing.
    """
    with archive.open("rb") as stream:
        _extract(archive.name, stream, inside, target)


def _extract(name: str, stream: IO[bytes], inside: Sequence[str], target: Path) -> None:
    pattern, *deeper = inside
    with _member(name, stream, pattern) as (found, content):
        if deeper:
            _extract(found, io.BytesIO(content.read()), deeper, target)
            return
        with target.open("wb") as copy:
            shutil.copyfileobj(content, copy)


@contextmanager
def _member(name: str, stream: IO[bytes], pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of the first file in an archive that fits the pattern."""
    if name.endswith(".tgz"):
        with tarfile.open(fileobj=stream, mode="r:gz") as tar:
            found = _first(name, tar.getnames(), pattern)
            content = tar.extractfile(found)
            if content is None:
                raise LookupError(f"{found} in {name} is no file")
            yield found, content
    else:
        with zipfile.ZipFile(stream) as archive:
            found = _first(name, archive.namelist(), pattern)
            with archive.open(found) as member:
                yield found, member


def _first(name: str, members: Sequence[str], pattern: str) -> str:
    found = next((member for member in members if fnmatch(member, pattern)), None)
    if found is None:
        raise LookupError(f"there is no {pattern} in {name}")
    return found
