"""Authorization: the roles and attributes of a user who is authenticated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from polytope_server.user import User


class NoSuchUserError(LookupError):
    """The realm has no such user, or not any more: a credential that outlives its user ends to count."""


class AuthorizerSettings(BaseModel):
    """The keys of an authorizer besides `type`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    def warnings(self) -> list[str]:
        """What `config check` tells the operator about these keys, which are valid."""
        return []


class Authorizer(ABC):
    """Knows roles and attributes of the users of one realm."""

    Settings: ClassVar[type[AuthorizerSettings]] = AuthorizerSettings
    #: Whether it knows every user of the realm, also those whom an authenticator lets in that keeps no list:
    #: then nobody else need be asked whether a user is gone.
    knows_all_users: bool = False

    def __init__(self, realm: str, settings: Any, data: Path) -> None:
        """`settings` is an instance of this class's `Settings`; `data` the folder of embedded back-ends."""
        self.realm = realm
        self.settings = settings
        self.data = data

    async def open(self) -> None:  # noqa: B027 -- many have nothing to open
        """Connect."""

    async def close(self) -> None:  # noqa: B027
        """Let go of all resources."""

    @abstractmethod
    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        """Further roles and attributes of a user of this realm.

        For one it does not know: nothing, or :class:`NoSuchUserError` if it lists the realm's users.
        Then an API key of that user is refused, unless an authenticator of the realm knows the user, or keeps
        no list and might. Whoever shows other credentials gets no roles from here.

        Raises :class:`~polytope_server.authentication.AuthenticationUnavailableError` if that cannot be found
        out now.
        """
