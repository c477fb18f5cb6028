"""API keys."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import falcon
import falcon.asgi

from polytope_server.accounts.api_keys import APIKeys, InvalidExpiryError, RealmNotAllowedError
from polytope_server.authentication.header import split
from polytope_server.authentication.manager import Identification
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.calls import answer, identify, read_json, text_of
from polytope_server.http.shell import refuse
from polytope_server.texts import stamp
from polytope_server.user import User


class KeysResource:
    """`/auth/keys`: the caller makes, lists and revokes their own API keys."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        # The new key would outlive what is remembered of a user who was removed, or of a revoked key.
        caller, keys, body = await self._admit_call(req, fresh=True)
        try:
            made = await keys.create(await self._find_owner(req, caller.user, keys), _read_days(body))
        except RealmNotAllowedError as error:
            refuse(falcon.HTTP_403, str(error))
        except InvalidExpiryError as error:
            refuse(falcon.HTTP_400, str(error))
        answer(resp, {"key": made.key, "expires": stamp(made.expires.timestamp())})

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        listed = [
            {
                "prefix": key["prefix"],
                "created": stamp(key["created"]),
                "expires": stamp(key["expires"]),
                "last_used": None if key["last_used"] is None else stamp(key["last_used"]),
            }
            for key in await self._require_keys().list_keys(caller.user)
        ]
        answer(resp, {"message": listed})

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller, keys, body = await self._admit_call(req)
        number = await keys.revoke(caller.user, text_of(body, "prefix"))
        if not number:
            refuse(falcon.HTTP_404, "No API key of yours has that prefix")
        await self._services.authentication.forget_user(caller.user.username, caller.user.realm)
        answer(resp, {"message": f"Successfully revoked {number} API keys"})

    async def _find_owner(self, req: falcon.asgi.Request, user: User, keys: APIKeys) -> User:
        """The user, `until` the key ends with which the call was made if this server does not keep the user.

        Otherwise a user who is gone could renew a key for ever.
        """
        ends = [math.inf]
        if user.realm != keys.own_realm:
            for scheme, word in split(req.get_header("authorization") or ""):
                owner = await keys.verify(word) if scheme.lower() == "bearer" else None
                if owner is not None and owner.id == user.id:
                    ends.append(owner.until)
        return replace(user, until=min(ends))

    async def _admit_call(
        self, req: falcon.asgi.Request, *, fresh: bool = False
    ) -> tuple[Identification, APIKeys, Any]:
        caller = await identify(self._services, req, fresh=fresh)
        body = await read_json(req, self._services.settings.max_body)
        return caller, self._require_keys(), body

    def _require_keys(self) -> APIKeys:
        if self._services.api_keys is None:
            refuse(falcon.HTTP_501, "API key generation is not enabled.")
        return self._services.api_keys


def _read_days(body: Any) -> int | None:
    """What the body says about the end of a new key: `polytope-client` sends nothing."""
    days = body.get("expiry") if isinstance(body, dict) else None
    if days is not None and type(days) is not int:
        refuse(falcon.HTTP_400, "The value of 'expiry' is not a whole number of days")
    return days
