"""API keys: long random words that log their owner in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from polytope_server.user import User


class RealmNotAllowedError(PermissionError):
    """The users of that realm get no keys; the message is for the caller."""


class InvalidExpiryError(ValueError):
    """A new key cannot end so soon or so late; the message is for the caller."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, and the time (UTC) at which it ends. The only time that it can be read."""

    key: str = field(repr=False)
    expires: datetime


class KeyEntry(TypedDict):
    """A key as shown in a list: how it begins, and times in seconds since the epoch."""

    prefix: str
    created: float
    expires: float
    last_used: float | None


class OwnedKey(KeyEntry):
    """A key as shown in a list of several users."""

    username: str


class APIKeys(ABC):
    """Keeps API keys as hashes: the key itself cannot be read from the store.

    Raises:
        ~polytope_server.authentication.AuthenticationUnavailableError: By every method, when the keys
            cannot be read or written now.
    """

    #: The realm whose users this server keeps itself: their keys end with them, those of other realms may end
    #: sooner by default. Set when the store is made from the settings.
    own_realm: str | None = None

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what is needed (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources."""

    @abstractmethod
    async def create(self, user: User, days: int | None = None) -> NewKey:
        """Make a key, a UUID of version 4. Earlier keys stay valid, up to the number that a user may have:
        then the oldest end.

        Args:
            user: The owner. The key ends no later than `user.until`.
            days: For how long it is valid; None for the longest time that is allowed.

        Returns:
            The key, which cannot be read again, and when it ends.

        Raises:
            RealmNotAllowedError: The users of that realm get no keys.
            InvalidExpiryError: The key would end too soon or too late.
        """

    @abstractmethod
    async def verify(self, key: str) -> User | None:
        """Find the owner of a key.

        Args:
            key: The key as the caller sent it.

        Returns:
            The owner, `until` the key ends; None if the key is unknown, revoked or expired.
        """

    @abstractmethod
    async def list_keys(self, user: User) -> list[KeyEntry]:
        """List the live keys of a user.

        Args:
            user: The owner.

        Returns:
            The keys, the oldest first.
        """

    @abstractmethod
    async def revoke(self, user: User, prefix: str) -> int:
        """End keys of a user.

        Args:
            user: The owner.
            prefix: How the keys begin, as a list shows it.

        Returns:
            How many keys were ended.
        """

    @abstractmethod
    async def revoke_all(self, user: User) -> int:
        """End all keys of a user, when the user is removed.

        Args:
            user: The owner.

        Returns:
            How many keys were ended.
        """

    def list_realm(self, realm: str) -> AsyncIterator[OwnedKey]:
        """List the live keys of all users of a realm.

        Args:
            realm: The name of the realm.

        Returns:
            The keys, those of each user the oldest first.

        Raises:
            NotImplementedError: This store cannot list them. Stores made for earlier servers need not.
        """
        raise NotImplementedError

    async def revoke_realm(self, realm: str) -> int:
        """End the keys of all users of a realm.

        Args:
            realm: The name of the realm.

        Returns:
            How many keys were ended.

        Raises:
            NotImplementedError: As :meth:`list_realm` does.
        """
        raise NotImplementedError
