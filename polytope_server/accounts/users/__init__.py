"""Identity: users that the server itself keeps, with password and roles."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypedDict

_LONGEST_NAME = 128
_LONGEST_PASSWORD = 1024
_MOST_ROLES = 100


class UserExistsError(ValueError):
    """There is a user of that name already."""


class UnknownUserError(LookupError):
    """There is no user of that name."""


class InvalidUserError(ValueError):
    """A name, password or role that cannot be used; the message says why and never repeats a password."""


class UserEntry(TypedDict):
    """A user as shown in a list; `created` in seconds since the epoch."""

    username: str
    roles: list[str]
    created: float


class Identity(ABC):
    """Keeps the users of one realm. Passwords are kept as argon2id hashes only.

    Raises:
        ~polytope_server.authentication.AuthenticationUnavailableError: By every method, when the users
            cannot be read or written now.
    """

    #: The realm of these users.
    realm: str

    @abstractmethod
    async def open(self) -> None:
        """Connect, create what is needed, and add the users of the configuration that are missing."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources."""

    @abstractmethod
    async def add_user(self, username: str, password: str, roles: Sequence[str]) -> None:
        """Add a user.

        Args:
            username: The name; see :func:`check_username`.
            password: The password in clear text, of which only a hash is kept; see :func:`check_password`.
            roles: The user's roles; see :func:`check_roles`.

        Raises:
            InvalidUserError: The name, the password or a role cannot be used.
            UserExistsError: There is a user of that name already.
        """

    @abstractmethod
    async def remove_user(self, username: str) -> None:
        """Remove a user.

        Args:
            username: The name of the user.

        Raises:
            UnknownUserError: There is no user of that name.
        """

    @abstractmethod
    async def set_password(self, username: str, password: str) -> None:
        """Replace a password, as an operator does.

        Args:
            username: The name of the user.
            password: The new password in clear text.

        Raises:
            InvalidUserError: The password cannot be used.
            UnknownUserError: There is no user of that name.
        """

    @abstractmethod
    async def change_password(self, username: str, current: str, new: str) -> bool:
        """Replace a password, as the user does: by a compare-and-set on the password that is checked.

        Args:
            username: The name of the user.
            current: The password that the user has now.
            new: The password that replaces it.

        Returns:
            Whether it was replaced: False if `current` is wrong, or there is no such user.

        Raises:
            InvalidUserError: The new password cannot be used.
        """

    @abstractmethod
    async def set_roles(self, username: str, roles: Sequence[str]) -> None:
        """Replace all roles of a user.

        Args:
            username: The name of the user.
            roles: The new roles.

        Raises:
            InvalidUserError: A role cannot be used.
            UnknownUserError: There is no user of that name.
        """

    @abstractmethod
    async def list_users(self) -> list[UserEntry]:
        """List all users.

        Returns:
            The users by name (by code points), without passwords or hashes.
        """

    @abstractmethod
    async def roles_of(self, username: str) -> list[str] | None:
        """Look up the roles of a user.

        Args:
            username: The name of the user.

        Returns:
            The roles, or None if there is no such user.
        """

    @abstractmethod
    async def verify(self, username: str, password: str) -> list[str] | None:
        """Check a password. It takes the same time for a user that does not exist as for a wrong password.

        Args:
            username: The name of the user.
            password: The password in clear text.

        Returns:
            The roles of the user if the password is right, else None.
        """


def check_username(username: str) -> None:
    """Raises :class:`InvalidUserError` unless it can be the name of a user."""
    _check_word("user name", username)
    if ":" in username:
        raise InvalidUserError("a user name must not hold a colon")
    if username == "anonymous":
        raise InvalidUserError("the user name 'anonymous' is kept for calls without credentials")


def check_password(password: str) -> None:
    """Raises :class:`InvalidUserError` unless it can be a password."""
    if not 1 <= len(password) <= _LONGEST_PASSWORD or not _is_text(password):
        raise InvalidUserError(f"a password has 1 to {_LONGEST_PASSWORD} characters")


def check_roles(roles: Sequence[str]) -> None:
    """Raises :class:`InvalidUserError` unless they can be roles."""
    if isinstance(roles, str) or len(roles) > _MOST_ROLES:
        raise InvalidUserError(f"roles are a list of at most {_MOST_ROLES} names")
    for role in roles:
        _check_word("role", role)


def _check_word(kind: str, text: str) -> None:
    if not 1 <= len(text) <= _LONGEST_NAME or text != text.strip():
        raise InvalidUserError(f"a {kind} has 1 to {_LONGEST_NAME} characters and no space around it")
    if not _is_text(text) or any(unicodedata.category(character) == "Cc" for character in text):
        raise InvalidUserError(f"a {kind} must not hold control characters")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
