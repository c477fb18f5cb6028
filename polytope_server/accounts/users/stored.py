"""What identities with a database have in common: what is checked, hashed, compared, and added at start."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.accounts.passwords import Passwords, is_hash
from polytope_server.accounts.users import (
    Identity,
    UnknownUserError,
    UserEntry,
    UserExistsError,
    check_password,
    check_roles,
    check_username,
)

#: Users that are read at a time: what embedded databases read holds up everything else.
_PAGE = 500
logger = logging.getLogger(__name__)


class ExtraUser(BaseModel):
    """One of the `extra-users`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    uid: str = Field(description="User name.")
    password: SecretStr = Field(description="An argon2 hash (`$argon2id$...`), or clear text.")
    roles: list[str] = Field(default_factory=list, description="Roles of the user.")

    @field_validator("uid")
    @classmethod
    def _name(cls, uid: str) -> str:
        check_username(uid)
        return uid

    @field_validator("password")
    @classmethod
    def _secret(cls, password: SecretStr) -> SecretStr:
        if not is_hash(password.get_secret_value()):
            check_password(password.get_secret_value())
        return password

    @field_validator("roles")
    @classmethod
    def _names(cls, roles: list[str]) -> list[str]:
        check_roles(roles)
        return roles


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as a database keeps it; `created` in seconds since the epoch."""

    username: str
    #: An argon2 hash.
    password: str = field(repr=False)
    roles: tuple[str, ...]
    created: float


class StoredIdentity(Identity):
    """Users of a realm in a database. A back-end says how to find, insert, change and remove one.

    Of a user name, a back-end gets only what is valid Unicode. Each of its operations is atomic.
    """

    def __init__(
        self,
        realm: str,
        extra_users: Sequence[ExtraUser],
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.realm = realm
        self._extra = extra_users
        self._passwords = passwords or Passwords()
        self._clock = clock
        self._renewals: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Semaphore()

    @abstractmethod
    async def find(self, username: str) -> StoredUser | None:
        """The user of that name."""

    @abstractmethod
    async def find_page(self, after: str, limit: int) -> list[StoredUser]:
        """The first users of the realm whose names come after that one, by name (by code points)."""

    @abstractmethod
    async def insert(self, user: StoredUser) -> bool:
        """Keep a new user; False if there is one of that name."""

    @abstractmethod
    async def replace_password(self, username: str, new: str, old: str | None = None) -> bool:
        """Keep another hash, only in place of `old` if that is given; False if there is no such user."""

    @abstractmethod
    async def replace_roles(self, username: str, roles: Sequence[str]) -> bool:
        """Keep other roles; False if there is no such user."""

    @abstractmethod
    async def delete(self, username: str) -> bool:
        """Forget a user; False if there is none."""

    async def add_extra_users(self) -> None:
        """Add the users of the configuration that are missing, to be called by `open`."""
        for user in self._extra:
            if await self.find(user.uid) is None:
                password = user.password.get_secret_value()
                stored = password if is_hash(password) else await self._passwords.hash(password)
                # Another process may be first.
                await self.insert(StoredUser(user.uid, stored, tuple(user.roles), self._clock()))

    async def add_user(self, username: str, password: str, roles: Sequence[str]) -> None:
        check_username(username)
        check_password(password)
        check_roles(roles)
        if await self.find(username) is None:  # saves the hash; the insertion decides
            stored = await self._passwords.hash(password)
            if await self.insert(StoredUser(username, stored, tuple(roles), self._clock())):
                return
        raise UserExistsError(f"there is a user {username!r} already")

    async def remove_user(self, username: str) -> None:
        if not _is_text(username) or not await self.delete(username):
            raise _unknown_user(username)

    async def set_password(self, username: str, password: str) -> None:
        check_password(password)
        if not _is_text(username) or not await self.replace_password(
            username, await self._passwords.hash(password)
        ):
            raise _unknown_user(username)

    async def change_password(self, username: str, current: str, new: str) -> bool:
        check_password(new)
        replacement = await self._passwords.hash(new)
        # What is replaced is what was verified. If it has changed meanwhile, maybe only by a log-in that
        # renewed the hash, it is verified again.
        while user := await self._verify_user(username, current):
            if await self.replace_password(username, replacement, user.password):
                return True
        return False

    async def set_roles(self, username: str, roles: Sequence[str]) -> None:
        check_roles(roles)
        if not _is_text(username) or not await self.replace_roles(username, roles):
            raise _unknown_user(username)

    async def list_users(self) -> list[UserEntry]:
        users: list[StoredUser] = []
        while page := await self.find_page(users[-1].username if users else "", _PAGE):
            users += page
        return [
            {"username": user.username, "roles": list(user.roles), "created": user.created} for user in users
        ]

    async def roles_of(self, username: str) -> list[str] | None:
        user = await self._find_user(username)
        return None if user is None else list(user.roles)

    async def verify(self, username: str, password: str) -> list[str] | None:
        user = await self._verify_user(username, password)
        if user is None:
            return None
        if username not in self._renewals and self._passwords.needs_rehash(user.password):
            # Beside the log-in, which does not wait for it.
            self._renewals[username] = renewal = asyncio.create_task(self._renew_hash(user, password))
            renewal.add_done_callback(lambda _: self._renewals.pop(username))
        return list(user.roles)

    async def end_renewals(self) -> None:
        """Give up the hashes that are being renewed, to be called by `close`: another log-in will do it."""
        renewals = list(self._renewals.values())
        for renewal in renewals:
            renewal.cancel()
        await asyncio.gather(*renewals, return_exceptions=True)

    async def _verify_user(self, username: str, password: str) -> StoredUser | None:
        user = await self._find_user(username)
        right = await self._passwords.verify(None if user is None else user.password, password)
        return user if right else None

    async def _find_user(self, username: str) -> StoredUser | None:
        return await self.find(username) if _is_text(username) else None

    async def _renew_hash(self, user: StoredUser, password: str) -> None:
        try:
            async with self._one_at_a_time:  # most of the threads are for log-ins
                new = await self._passwords.hash(password)
            # Only in place of what was verified: a password set meanwhile stays.
            await self.replace_password(user.username, new, user.password)
        except AuthenticationUnavailableError:
            logger.warning("the hash of a password could not be renewed; the next log-in will try again")


def _unknown_user(username: str) -> UnknownUserError:
    return UnknownUserError(f"there is no user {username!r}")


def _is_text(username: str) -> bool:
    """Whether a database takes it at all."""
    try:
        username.encode()
    except UnicodeEncodeError:
        return False
    return True
