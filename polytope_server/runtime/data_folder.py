"""The folder in which the embedded back-ends keep everything."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class FolderInUseError(RuntimeError):
    """Another server runs on this data folder."""


def default() -> Path:
    """`POLYTOPE_DATA`, else `polytope-server` in the user's data folder (XDG Base Directory)."""
    if given := os.environ.get("POLYTOPE_DATA"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "polytope-server"


def prepare(folder: Path) -> Path:
    """Make the folder, readable by this user only; returns its absolute path. Raises OSError."""
    folder = folder.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def announce(folder: Path) -> None:
    """Make it the default of this process and those that it starts, whose parts may keep something there."""
    os.environ["POLYTOPE_DATA"] = str(folder)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, all at once."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def kept_password(path: Path) -> str:
    """The password in the file: random, made when it is first asked for, and kept."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(12) + "\n")
    return path.read_text().strip()


@contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Hold the data folder for one server; the lock ends with the process, however it ends.

    Yields the file that is locked. Raises :class:`FolderInUseError`.
    """
    with (folder / "standalone.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(f"another server runs on the data folder {folder}") from None
        yield file


def is_locked(folder: Path) -> bool:
    """Whether a server runs on this data folder now."""
    try:
        with locked(folder):
            return False
    except FolderInUseError:
        return True
