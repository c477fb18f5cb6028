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
    """Keeps API keys as hashes; the key itself cannot be had from the store.

    Every method may raise :class:`~polytope_server.authentication.AuthenticationUnavailableError`.
    """

    #: The realm whose users this server keeps itself, and ends their keys with them; those of others may end
    #: sooner by default. Set by whoever makes the store.
    own_realm: str | None = None

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what is needed (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources."""

    @abstractmethod
    async def create(self, user: User, days: int | None = None) -> NewKey:
        """A new key (a UUID of version 4) of a user, for so many days (None: as many as are allowed).

        It ends no later than `user.until`. Earlier ones stay valid; of more live keys than a user may have,
        the oldest end. Raises :class:`RealmNotAllowedError`, :class:`InvalidExpiryError`.
        """

    @abstractmethod
    async def verify(self, key: str) -> User | None:
        """The owner, `until` the key ends; None if the key is unknown, revoked or too old."""

    @abstractmethod
    async def list_keys(self, user: User) -> list[KeyEntry]:
        """The live keys of a user, the oldest first."""

    @abstractmethod
    async def revoke(self, user: User, prefix: str) -> int:
        """End the keys of a user that have that `prefix`, as a list shows it; returns how many."""

    @abstractmethod
    async def revoke_all(self, user: User) -> int:
        """End all keys of a user, to be called when the user is removed; returns how many."""

    def list_realm(self, realm: str) -> AsyncIterator[OwnedKey]:
        """The live keys of all users of a realm, those of a user the oldest first.

        Raises NotImplementedError if this store cannot say, as may those made for earlier servers.
        """
        raise NotImplementedError

    async def revoke_realm(self, realm: str) -> int:
        """End the keys of all users of a realm; returns how many. Raises as :meth:`list_realm`."""
        raise NotImplementedError
