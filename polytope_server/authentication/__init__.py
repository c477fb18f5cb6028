"""Authentication: who makes a call, from the credentials of its Authorization header."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.user import User

__all__ = [
    "AuthenticationUnavailableError",
    "Authenticator",
    "AuthenticatorSettings",
]


class AuthenticatorSettings(BaseModel):
    """The keys of an authenticator besides `type`."""

    # An error must not repeat a value, which may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    def warnings(self) -> list[str]:
        """Warn of keys that are valid but unwise.

        Returns:
            Sentences that `config check` shows to the operator; they repeat no secret.
        """
        return []

    def refusals(self) -> list[str]:
        """Refuse keys that are valid, and would let in whom the operator does not want to let in.

        Returns:
            Sentences for the operator, which repeat no secret. With any, `config check` fails and the
            frontend does not start; the other processes do.
        """
        return []


class Authenticator(ABC):
    """Checks the credentials of one scheme for one realm."""

    Settings: ClassVar[type[AuthenticatorSettings]] = AuthenticatorSettings
    #: The scheme of the Authorization header, for example `Basic`; empty for calls without credentials.
    scheme: str
    #: How a challenge tells a person what to send.
    hint: str = ""
    #: Whether credentials are sent to another service; such authenticators are asked last.
    forwards: ClassVar[bool] = False
    #: Whether its users are those of :attr:`realm`, those of any realm, or not its own at all.
    users: ClassVar[Literal["realm", "any", "none"]] = "realm"
    #: Whether its credentials may outlive their user: then the other authenticators and authorizers of the
    #: realm are asked whether they know the user.
    outlives_users: ClassVar[bool] = False

    def __init__(self, realm: str, settings: Any, data: Path) -> None:
        """Make an authenticator, not yet open.

        Args:
            realm: The realm of its users.
            settings: An instance of this class's `Settings`.
            data: The folder of embedded back-ends.
        """
        self.realm = realm
        self.settings = settings
        self.data = data

    async def open(self) -> None:  # noqa: B027 -- many have nothing to open
        """Connect.

        Raises:
            AuthenticationUnavailableError: What knows the credentials cannot be reached.
        """

    async def close(self) -> None:  # noqa: B027
        """Let go of all resources."""

    @abstractmethod
    async def authenticate(self, credentials: str) -> User | None:
        """Check credentials. It must take the same time for an unknown user as for a wrong password.

        Args:
            credentials: What follows the scheme in the Authorization header.

        Returns:
            The user, or None if the credentials are wrong.

        Raises:
            AuthenticationUnavailableError: That cannot be found out now.
        """

    async def knows(self, username: str) -> bool | None:
        """Look up a user without credentials, to find out whether a key has outlived its user.

        Args:
            username: The name of the user in this authenticator's realm.

        Returns:
            Whether there is such a user; None if that cannot be found out without credentials.

        Raises:
            AuthenticationUnavailableError: It cannot be found out now.
        """
        return None
