"""The users and API keys of a deployment together, as the configuration names their back-ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polytope_server.accounts.api_keys import APIKeys
from polytope_server.accounts.users import (
    Identity,
    UnknownUserError,
    UserExistsError,
    check_password,
    check_roles,
    check_username,
)
from polytope_server.settings import Settings, create_backend
from polytope_server.user import User


def create_users(settings: Settings, data: Path) -> Identity | None:
    """Where users are kept, not yet open; None if that is off.

    Raises :class:`~polytope_server.config.ConfigurationError`.
    """
    if not settings.identity:
        return None
    users: Identity = create_backend("identity", settings.identity, data)
    return users


def create_api_keys(settings: Settings, data: Path) -> APIKeys | None:
    """What makes API keys, not yet open; None if that is off. Raises as :func:`create_users`."""
    generator = settings.api_keys.get("generator")
    if not generator:
        return None
    keys = {key: value for key, value in generator.items() if key != "type"}
    store: APIKeys = create_backend("api_key", {generator["type"]: keys}, data)
    users = create_users(settings, data)
    store.own_realm = None if users is None else users.realm
    return store


async def add_user(
    users: Identity, keys: APIKeys | None, username: str, password: str, roles: Sequence[str]
) -> None:
    """Keep a new user, after ending the API keys of an earlier user of that name.

    Raises :class:`~polytope_server.accounts.users.InvalidUserError`,
    :class:`~polytope_server.accounts.users.UserExistsError`,
    :class:`~polytope_server.authentication.AuthenticationUnavailableError`.
    """
    check_username(username)
    check_password(password)
    check_roles(roles)
    if await users.roles_of(username) is not None:
        raise UserExistsError(f"there is a user {username!r} already")
    owner = User(username, users.realm)
    if keys is not None:
        # Before: if they cannot be ended, there is no user yet, and this can be done again.
        await keys.revoke_all(owner)
    await users.add_user(username, password, roles)
    if keys is not None:
        await keys.revoke_all(owner)  # those made meanwhile


async def remove_user(users: Identity, keys: APIKeys | None, username: str) -> None:
    """Forget a user, and end the user's API keys.

    May be repeated if it could not be finished. Raises
    :class:`~polytope_server.accounts.users.UnknownUserError`,
    :class:`~polytope_server.authentication.AuthenticationUnavailableError`.
    """
    if await users.roles_of(username) is None:
        raise UnknownUserError(f"there is no user {username!r}")
    owner = User(username, users.realm)
    if keys is not None:
        # Before: for a user who is gone this cannot be repeated, and keys might stay.
        await keys.revoke_all(owner)
    await users.remove_user(username)
    if keys is not None:
        await keys.revoke_all(owner)  # those made meanwhile
