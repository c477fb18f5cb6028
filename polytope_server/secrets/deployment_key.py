"""The secret that all processes of a deployment share, from which the keys for all purposes are derived.

On one machine it is made at the first start: `secret.key` in the data folder. Several machines share the one
that the section `secrets` of the configuration gives.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from polytope_server.redaction import redactor
from polytope_server.settings.problems import ConfigurationError
from polytope_server.settings.secrets import SHORTEST_KEY, SecretsSettings

_SIZE = 32
_LARGEST_FILE = 64 << 10


class DeploymentKeys:
    """The secrets of a deployment: the current one, then earlier ones, which still open what they sealed."""

    def __init__(self, settings: SecretsSettings, data: Path) -> None:
        """Those of the configuration, else that of the data folder, which is made if there is none.

        Raises ConfigurationError if the file of the configuration is of no use, OSError or ValueError if
        that of the data folder is.
        """
        self._secrets = [key.get_secret_value().encode() for key in settings.keys]
        if settings.file is not None:
            self._secrets = _read_keys(settings.file)
        if not self._secrets:
            self._secrets = [own_key(data)]

    def derived(self, purpose: str) -> list[bytes]:
        """A key of 32 bytes for one purpose from each secret, the current one first."""
        return [
            HKDF(SHA256(), _SIZE, salt=None, info=f"polytope-server {purpose}".encode()).derive(secret)
            for secret in self._secrets
        ]


def _read_keys(file: Path) -> list[bytes]:
    """The secrets of a file, one a line."""
    try:
        with file.open("rb") as stream:
            lines = stream.read(_LARGEST_FILE).decode().split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigurationError([f"secrets.file: value '{file}': cannot be read: {reason}"]) from None
    redactor.learn(lines)
    if not lines or min(map(len, lines)) < SHORTEST_KEY:
        expected = f"expected a key of at least {SHORTEST_KEY} characters on each line"
        raise ConfigurationError([f"secrets.file: value '{file}': {expected}"])
    return [line.encode() for line in lines]


def own_key(data: Path) -> bytes:
    """The key in `secret.key` of the data folder; made, readable by this user only, if there is none.

    Several processes may ask at the same time: all get the same. Raises OSError, or ValueError if the file
    is not a key.
    """
    path = data / "secret.key"
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) < _SIZE:
        raise ValueError(f"{path} holds no key: remove it, and a new one will be made")
    return key


def _make_key(path: Path) -> None:
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
