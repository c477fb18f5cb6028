"""Roles and attributes that are listed in the configuration."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.authorization import Authorizer, AuthorizerSettings
from polytope_server.user import User

_Attributes = dict[str, dict[str, str]]


class PlainAuthorizerSettings(AuthorizerSettings):
    """Keys of the authorizer `plain`."""

    roles: dict[str, list[str]] = Field(default_factory=dict, description="Users of each role.")
    user_attributes: _Attributes = Field(
        default_factory=dict,
        alias="user-attributes",
        repr=False,
        description="Attributes by user name, which may hold `*`, `?` and `[...]`.",
    )
    role_attributes: _Attributes = Field(
        default_factory=dict, alias="role-attributes", repr=False, description="Attributes by role."
    )


class PlainAuthorizer(Authorizer):
    """Looks into the lists of the configuration; attributes of a user go before those of a role."""

    Settings: ClassVar[type[AuthorizerSettings]] = PlainAuthorizerSettings

    def __init__(self, realm: str, settings: PlainAuthorizerSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._members = {role: frozenset(users) for role, users in settings.roles.items()}
        self._of_users = settings.user_attributes
        self._of_roles = settings.role_attributes

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        roles = [role for role, members in self._members.items() if user.username in members]
        attributes: dict[str, str] = {}
        for role in (*user.roles, *roles):
            attributes |= self._of_roles.get(role, {})
        for pattern, given in self._of_users.items():
            if fnmatchcase(user.username, pattern):
                attributes |= given
        return roles, attributes
