"""The folder in which the embedded back-ends keep everything."""

from __future__ import annotations

import os
from pathlib import Path


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
