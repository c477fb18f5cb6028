"""Verified users as the cache remembers them, under keyed hashes of their credentials.

Whoever reads the cache learns no credential from it: attributes with names of secrets are dropped, or sealed
where a data source needs them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from typing import Any

from polytope_server.caching import JSON
from polytope_server.deployment_key import DeploymentKeys
from polytope_server.sealing import CREDENTIALS, Seals, UnsealableError
from polytope_server.user import User

_SECRET_NAMES = re.compile("key|secret|token|password", re.IGNORECASE)


class Remembered:
    """From users to documents of the cache, and back."""

    def __init__(self, keys: DeploymentKeys, needed: Collection[str]) -> None:
        """`needed` are the attributes that some data source needs, though they are secrets."""
        self._key, *_ = keys.derived("cache")
        self._seals = Seals(keys, CREDENTIALS)
        self._needed = frozenset(needed)

    def digest(self, text: str) -> str:
        """A keyed hash, by which credentials can be recognised and not guessed."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def document(self, key: str, user: User, since: float, until: float) -> JSON:
        """What to keep under that key of a user whose verification began at `since`; it counts `until` then
        at most.
        """
        secret = {name for name in user.attributes if _SECRET_NAMES.search(name)}
        plain = {name: value for name, value in user.attributes.items() if name not in secret}
        sealed = {name: user.attributes[name] for name in secret & self._needed}
        return {
            "username": user.username,
            "realm": user.realm,
            "roles": list(user.roles),
            "attributes": dict(plain),
            "sealed": self._seals.seal(sealed, key),
            "since": since,
            "until": min(until, user.until),
        }

    def user(self, key: str, document: Any) -> User | None:
        """The user of a document; None if what is sealed in it was not sealed for that key."""
        try:
            secrets = self._seals.open(document["sealed"], key)
        except UnsealableError:
            return None
        attributes = {**document["attributes"], **secrets}
        return User(document["username"], document["realm"], tuple(document["roles"]), attributes)
