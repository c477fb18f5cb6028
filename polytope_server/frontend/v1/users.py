"""Users that this server keeps, and their passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import falcon
import falcon.asgi

from polytope_server import accounts
from polytope_server.accounts.users import (
    Identity,
    InvalidUserError,
    UnknownUserError,
    UserExistsError,
    check_password,
)
from polytope_server.frontend.refusals import shown
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.calls import (
    answer,
    identify,
    prove,
    read_json,
    require_admin,
    text_of,
)
from polytope_server.http.shell import refuse
from polytope_server.texts import stamp


class UsersResource:
    """`/auth/users`: administrators list, add, change and remove users."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await require_admin(self._services, req)
        listed = [
            {"username": user["username"], "roles": user["roles"], "created": stamp(user["created"])}
            for user in await _require_identity(self._services).list_users()
        ]
        answer(resp, {"message": listed})

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        identity, body = await self._admit_admin(req)
        username, password, role = (text_of(body, key) for key in ("username", "password", "role"))
        with _translate_errors(username):
            await accounts.add_user(identity, self._services.api_keys, username, password, [role])
        # A user who was refused a moment ago is admitted at once.
        await self._services.authentication.forget_user(username, identity.realm)
        answer(resp, {"message": "Successfully added user"})

    async def on_patch(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        identity, body = await self._admit_admin(req)
        username = text_of(body, "username")
        password = text_of(body, "password") if "password" in body else None
        roles = _read_roles(body) if "roles" in body else None
        if password is None and roles is None:
            refuse(falcon.HTTP_400, "HTTP request content is missing 'password' or 'roles'")
        with _translate_errors(username):
            if password is not None:
                check_password(password)  # before anything is changed
            if roles is not None:
                await identity.set_roles(username, roles)
            if password is not None:
                await identity.set_password(username, password)
        await self._services.authentication.forget_user(username, identity.realm)
        answer(resp, {"message": "Successfully changed user"})

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        identity, body = await self._admit_admin(req)
        username = text_of(body, "username")
        with _translate_errors(username):
            await accounts.remove_user(identity, self._services.api_keys, username)
        await self._services.authentication.forget_user(username, identity.realm)
        answer(resp, {"message": "Successfully removed user"})

    async def _admit_admin(self, req: falcon.asgi.Request) -> tuple[Identity, Any]:
        await require_admin(self._services, req)
        return _require_identity(self._services), await read_json(req, self._services.settings.max_body)


class PasswordResource:
    """`POST /auth/password`: a user replaces their own password, which they must know.

    An API key alone, or a log-in that this process remembers, does not do.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        user = (await identify(self._services, req)).user
        identity = _require_identity(self._services)
        body = await read_json(req, self._services.settings.max_body)
        current, new = (text_of(body, key) for key in ("current_password", "new_password"))
        if user.realm != identity.realm:
            refuse(falcon.HTTP_403, f"This server keeps no passwords of users in realm {user.realm}")
        change = partial(identity.change_password, user.username, current, new)
        with _translate_errors(user.username):
            if not await prove(self._services, req, user, current, change):
                refuse(falcon.HTTP_403, "The current password is wrong")
        await self._services.authentication.forget_user(user.username, user.realm)
        answer(resp, {"message": "Successfully changed password"})


def _require_identity(services: Services) -> Identity:
    if services.identity is None:
        refuse(falcon.HTTP_501, "This Polytope server is not configured with identity management.")
    return services.identity


@contextmanager
def _translate_errors(username: str) -> Iterator[None]:
    """End the call with what an identity says against what is done with that user."""
    try:
        yield
    except UserExistsError:
        refuse(falcon.HTTP_409, "Username already registered")
    except UnknownUserError:
        refuse(falcon.HTTP_404, f"User {shown(username)} does not exist")
    except InvalidUserError as error:
        refuse(falcon.HTTP_400, str(error))


def _read_roles(body: dict[str, Any]) -> list[str]:
    roles = body["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        refuse(falcon.HTTP_400, "The value of 'roles' is not a list of strings")
    return roles
