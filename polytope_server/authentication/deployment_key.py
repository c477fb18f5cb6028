"""The secret that all processes of a deployment share, to make keyed hashes with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_SIZE = 32


def deployment_key(data: Path) -> bytes:
    """The key in `secret.key` of the data folder; made, readable by this user only, if there is none.

    Several processes may ask at the same time: all get the same. Raises OSError, or ValueError if the file
    is not a key.
    """
    path = data / "secret.key"
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) < _SIZE:
        raise ValueError(f"{path} holds no key: remove it, and it will be made anew")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".secret.key.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SIZE))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces the key that another process made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
