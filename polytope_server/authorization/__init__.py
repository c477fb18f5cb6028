"""Authorization: the roles and attributes of a user who is authenticated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from polytope_server.user import User


class NoSuchUserError(LookupError):
    """The realm has no such user, or no longer: credentials that outlive their user are refused."""


class AuthorizerSettings(BaseModel):
    """The keys of an authorizer besides `type`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    def warnings(self) -> list[str]:
        """Warn of keys that are valid but unwise.

        Returns:
            Sentences that `config check` shows to the operator; they repeat no secret.
        """
        return []


class Authorizer(ABC):
    """Knows roles and attributes of the users of one realm."""

    Settings: ClassVar[type[AuthorizerSettings]] = AuthorizerSettings
    #: Whether it knows every user of the realm, also those of authenticators that keep no list: then its word
    #: is enough to say that a user is gone.
    knows_all_users: bool = False

    def __init__(self, realm: str, settings: Any, data: Path) -> None:
        """Make an authorizer, not yet open.

        Args:
            realm: The realm whose users it knows.
            settings: An instance of this class's `Settings`.
            data: The folder of embedded back-ends.
        """
        self.realm = realm
        self.settings = settings
        self.data = data

    async def open(self) -> None:  # noqa: B027 -- many have nothing to open
        """Connect.

        Raises:
            ~polytope_server.authentication.AuthenticationUnavailableError: What knows the roles cannot be
                reached.
        """

    async def close(self) -> None:  # noqa: B027
        """Let go of all resources."""

    @abstractmethod
    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        """Look up the roles and attributes of a user, beside those that the authenticator gave.

        Args:
            user: An authenticated user of this realm.

        Returns:
            The roles, and the attributes by name; both empty for a user who has none.

        Raises:
            NoSuchUserError: This authorizer lists the realm's users, and this is none of them. An API key
                of that user is then refused, unless an authenticator of the realm knows the user, or cannot
                say whether it does. Other credentials stay valid, and get no roles from here.
            ~polytope_server.authentication.AuthenticationUnavailableError: It cannot be found out now.
        """
