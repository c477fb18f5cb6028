"""Seals secrets of a user, so that only the deployment's own processes can open them, in their place.

Authenticated encryption (ChaCha20-Poly1305) with a key that is derived from the deployment's. What is sealed
for one request, or one entry of the cache, cannot be moved to another.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from polytope_server.secrets.deployment_key import DeploymentKeys

#: Marks sealed texts, with the version of this way of sealing.
_MARK = "sealed.v1."
_NONCE = 12
#: Purposes: what is kept with a request, and what the cache remembers of a credential.
REQUESTS, CREDENTIALS = "requests", "credentials"


class UnsealableError(ValueError):
    """A text was sealed with another key, or for something else, or is damaged."""


class Seals:
    """Seals and opens texts of one purpose."""

    def __init__(self, keys: DeploymentKeys, purpose: str) -> None:
        self._ciphers = [ChaCha20Poly1305(key) for key in keys.derived(f"seals: {purpose}")]

    def seal(self, secrets: Mapping[str, str], place: str) -> str:
        """Secrets by name as one text, which is good for `place` only (the id of a request); "" for none."""
        if not secrets:
            return ""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[0].encrypt(nonce, json.dumps(dict(secrets)).encode(), place.encode())
        return _MARK + urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, place: str) -> dict[str, str]:
        """What :meth:`seal` was given for that place. Raises :class:`UnsealableError`."""
        if not sealed:
            return {}
        try:
            octets = urlsafe_b64decode(sealed.removeprefix(_MARK))
        except ValueError:
            octets = b""
        for cipher in self._ciphers:
            try:
                text = cipher.decrypt(octets[:_NONCE], octets[_NONCE:], place.encode())
            except (InvalidTag, ValueError):
                continue
            found: dict[str, str] = json.loads(text)
            return found
        raise UnsealableError("sealed with a key that this process lacks, for something else, or damaged")
