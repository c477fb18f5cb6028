"""What the shared cache holds of log-ins: keyed hashes of credentials, and sealed entries of verified users.

An entry is sealed as a whole, for its own key. Read access to the cache reveals neither users nor
credentials. Write access can neither change an entry (its roles, say) nor move it to another credential: it
can only remove an entry, or restore an earlier one of the same credential, which ends when it would have
ended. The secret is the deployment's: processes that do not share it do not find each other's entries.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.caching import JSON
from polytope_server.redaction import may_be_secret
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import CREDENTIALS, Seals, UnsealableError
from polytope_server.user import User

#: What is sealed in an entry, by name.
_USER = "user"


@dataclass(frozen=True, slots=True)
class Verification:
    """A user whose credentials were verified. Times are in seconds since the epoch.

    The verification began at `since`; it counts `until` then at most.
    """

    user: User
    since: float
    until: float


class CacheEntries:
    """From verifications to entries of the cache, and back."""

    def __init__(self, load_keys: Callable[[], DeploymentKeys], needed: Collection[str] = ()) -> None:
        """`needed` are the attributes that some data source needs, though they are secrets."""
        self._load_keys = load_keys
        self._needed = frozenset(needed)
        self._secrets: tuple[bytes, Seals] | None = None

    async def open(self) -> None:
        """Load the deployment's key. Raises ValueError or OSError if that fails."""
        keys = await asyncio.to_thread(self._load_keys)
        hash_key, *_ = keys.derived("cache")
        self._secrets = hash_key, Seals(keys, CREDENTIALS)

    def digest(self, *parts: str) -> str:
        """A keyed hash, by which credentials can be recognised and not guessed.

        Raises :class:`AuthenticationUnavailableError` before :meth:`open`.
        """
        hash_key, _ = self._opened()
        # As JSON, so that no two lists of parts are the same text, whatever a name or a password holds.
        return hmac.new(hash_key, json.dumps(parts).encode(), "sha256").hexdigest()

    def seal(self, key: str, verification: Verification) -> str:
        """The entry for that key, with only those secrets of the user that some data source needs."""
        user = verification.user
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
            "since": verification.since,
            "until": min(verification.until, user.until),
        }
        _, seals = self._opened()
        return seals.seal({_USER: json.dumps(document)}, key)

    def unseal(self, key: str, entry: JSON) -> Verification | None:
        """What an entry says; None if it was not made by this deployment for that key."""
        if not isinstance(entry, str) or not entry:
            return None
        _, seals = self._opened()
        try:
            text = seals.open(entry, key).get(_USER)
        except UnsealableError:
            return None
        if text is None:  # another version of this server keeps it otherwise
            return None
        document = json.loads(text)
        user = User(document["username"], document["realm"], tuple(document["roles"]), document["attributes"])
        return Verification(user, document["since"], document["until"])

    def _opened(self) -> tuple[bytes, Seals]:
        if self._secrets is None:
            raise AuthenticationUnavailableError("the authentication is not open yet")
        return self._secrets
