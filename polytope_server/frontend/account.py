"""The smaller routes: test, collections, user, keys and users (REST v1, 3.1 to 3.3, 3.10, 3.11)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import falcon
import falcon.asgi

from polytope_server.api_keys import RealmNotAllowedError
from polytope_server.asgi import refuse
from polytope_server.frontend.calls import answer, identify, read_json, require_admin, shown
from polytope_server.frontend.services import Services
from polytope_server.identity import Identity, InvalidUserError, UnknownUserError, UserExistsError
from polytope_server.request import LIVE
from polytope_server.user import User

_NO_IDENTITY = "This Polytope server is not configured with identity management."


class TestResource:
    """`GET /test`: whether this process serves; touches no back-end."""

    __test__ = False  # not for pytest
    _BODY: ClassVar[bytes] = json.dumps({"message": "Polytope server is alive"}).encode()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = self._BODY


class CollectionsResource:
    """`GET /collections`: those that the caller may use, in the order of the configuration."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        collections = self._services.collections.values()
        answer(resp, {"message": [found.name for found in collections if found.admits(caller.user)]})


class UserResource:
    """`GET /user`: how many requests of the caller have not ended, and the limits. All values are strings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        live = await self._services.store.count(user_id=caller.user.id, statuses=LIVE)
        answer(resp, {"live requests": str(live), **self._services.limits.described()})


class KeysResource:
    """`POST /auth/keys`: a new API key for the caller."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        await read_json(req, self._services.settings.max_body)
        if self._services.api_keys is None:
            refuse(falcon.HTTP_501, "API key generation is not enabled.")
        try:
            made = await self._services.api_keys.create(caller.user)
        except RealmNotAllowedError as error:
            refuse(falcon.HTTP_403, str(error))
        answer(resp, {"key": made.key, "expires": made.expires.strftime("%Y-%m-%dT%H:%M:00Z")})


class UsersResource:
    """`POST` and `DELETE /auth/users`: administrators add and remove users."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        identity, body = await self._admitted(req)
        username, password, role = (_string(body, key) for key in ("username", "password", "role"))
        try:
            await identity.add_user(username, password, [role])
        except UserExistsError:
            refuse(falcon.HTTP_409, "Username already registered")
        except InvalidUserError as error:
            refuse(falcon.HTTP_400, str(error))
        # Who was refused a moment ago is let in at once.
        await self._services.authentication.forget_user(username, identity.realm)
        answer(resp, {"message": "Successfully added user"})

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        identity, body = await self._admitted(req)
        username = _string(body, "username")
        try:
            await identity.remove_user(username)
        except UnknownUserError:
            refuse(falcon.HTTP_404, f"User {shown(username)} does not exist")
        if self._services.api_keys is not None:
            await self._services.api_keys.revoke_all(User(username, identity.realm))
        await self._services.authentication.forget_user(username, identity.realm)
        answer(resp, {"message": "Successfully removed user"})

    async def _admitted(self, req: falcon.asgi.Request) -> tuple[Identity, Any]:
        await require_admin(self._services, req)
        if self._services.identity is None:
            refuse(falcon.HTTP_501, _NO_IDENTITY)
        return self._services.identity, await read_json(req, self._services.settings.max_body)


def _string(body: Any, key: str) -> str:
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        refuse(falcon.HTTP_400, f"HTTP request content is missing '{key}', a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(falcon.HTTP_400, f"The value of '{key}' is not valid Unicode")
    return value
