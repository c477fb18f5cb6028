"""What stores of API keys with a database have in common: how keys are made, hashed and noted to be used."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from polytope_server.accounts.api_keys import (
    APIKeys,
    InvalidExpiryError,
    KeyEntry,
    NewKey,
    OwnedKey,
    RealmNotAllowedError,
)
from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.user import User

#: Live keys of one user.
MOST_KEYS = 100
#: The precision, in seconds, of the last use: a key in steady use costs few writes.
_PRECISION = 60.0
_PREFIX, _DAY = 8, 86400.0
#: A user of `identity` takes the keys along; one of another realm may be gone without this server hearing of
#: it.
_DAYS, _DAYS_ELSEWHERE = 365, 90
logger = logging.getLogger(__name__)


class StoredAPIKeysSettings(BaseModel):
    """Keys of every `api-keys.generator` and `api-keys.authenticator` with a database."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    allowed_realms: list[str] = Field(
        default_factory=list, description="Realms whose users may create keys (generator only)."
    )
    expiry: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="Days after which a new key ends unless its user wants fewer (generator only); by "
        f"default {_DAYS} for users of `identity`, and {_DAYS_ELSEWHERE} for those of other realms.",
    )


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as a database keeps it; times in seconds since the epoch."""

    hash: bytes
    prefix: str
    username: str
    realm: str
    created: float
    expires: float
    last_used: float | None = None


class StoredAPIKeys(APIKeys):
    """Keys in a database, found by the SHA-256 of the key: it has 122 random bits, so that needs no salt.

    A back-end says how to find, insert and remove what is kept of a key.
    """

    def __init__(
        self, allowed_realms: Iterable[str], expiry_days: int | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._realms = frozenset(allowed_realms)
        self._days = expiry_days
        self._clock = clock

    @abstractmethod
    async def insert(self, key: StoredKey) -> None:
        """Keep a key; remove all that have ended, and of its owner all but the newest :data:`MOST_KEYS`."""

    @abstractmethod
    async def find(self, digest: bytes, now: float) -> StoredKey | None:
        """The key of that hash, if it has not ended."""

    @abstractmethod
    async def find_all(self, user: User, now: float) -> list[StoredKey]:
        """The keys of a user that have not ended, the oldest first."""

    @abstractmethod
    def find_realm(self, realm: str, now: float) -> AsyncIterator[StoredKey]:
        """The keys of a realm that have not ended, by user, in bounded memory."""

    @abstractmethod
    async def note_use(self, digest: bytes, now: float) -> None:
        """Keep the time of the last use."""

    @abstractmethod
    async def delete(self, user: User, prefix: str | None) -> int:
        """Remove the keys of a user that begin so (None: all); returns how many."""

    @abstractmethod
    async def delete_realm(self, realm: str) -> int:
        """Remove the keys of a realm; returns how many."""

    async def create(self, user: User, days: int | None = None) -> NewKey:
        if user.realm not in self._realms:
            raise RealmNotAllowedError(f"Not allowed to create an API Key for users in realm {user.realm}")
        most = self._days or (_DAYS if user.realm == self.own_realm else _DAYS_ELSEWHERE)
        now = self._clock()
        most = int(min(most, (user.until - now) / _DAY))
        if most < 1:
            raise InvalidExpiryError("With credentials that end in less than a day no API key can be made")
        days = most if days is None else days
        if not 1 <= days <= most:
            raise InvalidExpiryError(f"An API key ends after 1 to {most} days")
        key = str(uuid.uuid4())
        expires = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0) + timedelta(days=days)
        await self.insert(
            StoredKey(_hash_key(key), key[:_PREFIX], user.username, user.realm, now, expires.timestamp())
        )
        return NewKey(key, expires)

    async def verify(self, key: str) -> User | None:
        now = self._clock()
        found = await self.find(_hash_key(key), now)
        if found is None:
            return None
        if now - (found.last_used or 0.0) >= _PRECISION:
            await self._note_use(found, now)
        return User(found.username, found.realm, until=found.expires)

    async def _note_use(self, key: StoredKey, now: float) -> None:
        try:
            await self.note_use(key.hash, now)
        except AuthenticationUnavailableError:
            logger.warning("the use of an API key could not be noted")  # no reason to refuse the key

    async def list_keys(self, user: User) -> list[KeyEntry]:
        return [_list_entry(key) for key in await self.find_all(user, self._clock())]

    async def list_realm(self, realm: str) -> AsyncIterator[OwnedKey]:
        async for key in self.find_realm(realm, self._clock()):
            yield {**_list_entry(key), "username": key.username}

    async def revoke(self, user: User, prefix: str) -> int:
        # What is no ASCII begins no key, and may be nothing that a database takes.
        return await self.delete(user, prefix) if prefix.isascii() else 0

    async def revoke_all(self, user: User) -> int:
        return await self.delete(user, None)

    async def revoke_realm(self, realm: str) -> int:
        return await self.delete_realm(realm)


def _list_entry(key: StoredKey) -> KeyEntry:
    return {
        "prefix": key.prefix,
        "created": key.created,
        "expires": key.expires,
        "last_used": key.last_used,
    }


def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
