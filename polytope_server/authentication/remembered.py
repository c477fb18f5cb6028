"""Verified users as the cache remembers them, under keyed hashes of their credentials.

An entry is sealed as a whole, for its own name. Whoever reads the cache learns neither who was here nor any
credential. Whoever writes to it can neither change an entry (roles, say) nor move it to another credential:
the most is to remove one, or to put back an earlier one of the same credential, which ends when it would have
ended. The key is the deployment's: processes that do not share it do not find each other's entries.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass

from polytope_server.caching import JSON
from polytope_server.redaction import may_be_secret
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import CREDENTIALS, Seals, UnsealableError
from polytope_server.user import User

#: What is sealed in an entry, by name.
_USER = "user"


@dataclass(frozen=True, slots=True)
class Memory:
    """A verified user, from an entry. Times are in seconds since the epoch.

    The verification began at `since`; it counts `until` then at most.
    """

    user: User
    since: float
    until: float


class Remembered:
    """From users to documents of the cache, and back."""

    def __init__(self, keys: DeploymentKeys, needed: Collection[str]) -> None:
        """`needed` are the attributes that some data source needs, though they are secrets."""
        self._key, *_ = keys.derived("cache")
        self._seals = Seals(keys, CREDENTIALS)
        self._needed = frozenset(needed)

    def digest(self, *parts: str) -> str:
        """A keyed hash, by which credentials can be recognised and not guessed.

        As JSON, so that no two lists of parts are the same text, whatever a name or a password holds.
        """
        return hmac.new(self._key, json.dumps(parts).encode(), "sha256").hexdigest()

    def entry(self, key: str, memory: Memory) -> str:
        """What to keep under that key. Of the secrets of the user, only those that some data source needs."""
        user = memory.user
        attributes = {
            name: value
            for name, value in user.attributes.items()
            if name in self._needed or not may_be_secret(name)
        }
        # An object, so that another version of this server may add to it.
        document = {
            "username": user.username,
            "realm": user.realm,
            "roles": user.roles,
            "attributes": attributes,
            "since": memory.since,
            "until": min(memory.until, user.until),
        }
        return self._seals.seal({_USER: json.dumps(document)}, key)

    def memory(self, key: str, entry: JSON) -> Memory | None:
        """What an entry says; None if it was not made here for that key."""
        if not isinstance(entry, str) or not entry:
            return None
        try:
            text = self._seals.open(entry, key).get(_USER)
        except UnsealableError:
            return None
        if text is None:  # another version of this server keeps it otherwise
            return None
        document = json.loads(text)
        user = User(document["username"], document["realm"], tuple(document["roles"]), document["attributes"])
        return Memory(user, document["since"], document["until"])
