"""Unix sockets below the data folder, over which the processes of one machine talk."""

from __future__ import annotations

import os
from pathlib import Path

#: The longest address of a Unix socket is 107 bytes on Linux, 103 elsewhere.
_LONGEST = 100
_folders: dict[Path, int] = {}


def address(path: Path) -> str:
    """An address for the socket at `path`, which stays short however deep the data folder lies."""
    if len(os.fsencode(path)) <= _LONGEST:
        return str(path)
    if path.parent not in _folders:
        _folders[path.parent] = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{_folders[path.parent]}/{path.name}"


def folder(path: Path) -> Path:
    """Make a folder for sockets that only this user may enter."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
