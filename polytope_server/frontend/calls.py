"""What the resources share: who calls, what the body says, how an answer looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.manager import Identification, UnauthenticatedError
from polytope_server.frontend.limits import is_polytope_client
from polytope_server.frontend.services import Services
from polytope_server.http.shell import refuse
from polytope_server.roles import has_role
from polytope_server.texts import encodable
from polytope_server.user import User

PREFIX = "/api/v1"
#: A body must be complete after so many seconds.
_BODY_TIME = 30.0
_MALFORMED = "The browser (or proxy) sent a request that this server could not understand."
#: Below this a server that acts for its users may call nothing else: what is made here would outlive its
#: secret, and be more than it was given.
_ACCOUNTS, _OPEN_TO_PEERS = f"{PREFIX}/auth/", {("GET", f"{PREFIX}/auth/keys")}
#: Bytes of the body of a call about a user or a key.
_SMALL_BODY = 64 << 10
#: An id or a name of the caller is repeated in a message up to this length.
_SHOWN = 100


def shown(text: str) -> str:
    """A word of the caller for use in a message: bounded, and fit to be encoded."""
    return encodable(text[:_SHOWN])


def answer(resp: falcon.asgi.Response, body: dict[str, Any], status: str = falcon.HTTP_200) -> None:
    """Answer with a JSON object."""
    resp.status = status
    resp.data = json.dumps(body).encode()


async def identify(services: Services, req: falcon.asgi.Request, *, anew: bool = False) -> Identification:
    """Who calls.

    With `anew`, that a process remembers them does not do. Ends the call with 401 if the credentials are
    missing or wrong, 503 if nobody can tell, 429 if the caller makes too many calls, or too many wrong
    credentials were shown; with 403 if another server calls what is not for it.
    """
    try:
        authorization = req.get_header("authorization")
        caller = await services.authentication.authenticate(authorization, _address(req), fresh=anew)
    except UnauthenticatedError as error:
        raise _unauthorized(req, error) from None
    except AuthenticationUnavailableError as error:
        refuse(falcon.HTTP_503, str(error), Retry_After="5")
    req.context.realm = caller.user.realm
    await services.limits.admit_call(req, caller.user)
    if caller.by_peer and _is_closed_to_peers(req):
        refuse(falcon.HTTP_403, "A server that acts for its users manages neither users nor keys.")
    return caller


def _is_closed_to_peers(req: falcon.asgi.Request) -> bool:
    route = req.uri_template or ""
    return route.startswith(_ACCOUNTS) and (req.method, route) not in _OPEN_TO_PEERS


async def prove(
    services: Services,
    req: falcon.asgi.Request,
    user: User,
    password: str,
    check: Callable[[], Awaitable[bool]],
) -> bool:
    """What `check` says of a password in the body. Ends the call with 429 if too many were wrong."""
    try:
        return await services.authentication.prove(user, password, _address(req), check)
    except UnauthenticatedError as error:
        refuse(falcon.HTTP_429, str(error), Retry_After=str(error.retry_after))


def _address(req: falcon.asgi.Request) -> str:
    return str((req.scope.get("client") or ("",))[0])


def _unauthorized(req: falcon.asgi.Request, error: UnauthenticatedError) -> falcon.HTTPError:
    headers = {"WWW-Authenticate": ", ".join(error.challenges)} if error.challenges else {}
    status = falcon.HTTP_401
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
        if not is_polytope_client(req):
            status = falcon.HTTP_429
    return falcon.HTTPError(status, description=str(error), headers=headers)


async def read_json(req: falcon.asgi.Request, limit: int) -> Any:
    """The JSON value of a small body. Ends the call as :func:`read_body` and :func:`decoded` do."""
    return decoded(await read_body(req, min(limit, _SMALL_BODY)))


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """The body. Ends the call with 400 if it does not come, or 413 if it has more than `limit` bytes."""
    if (req.content_length or 0) > limit:
        refuse(falcon.HTTP_413, f"The body is larger than {limit} bytes")
    try:
        async with asyncio.timeout(_BODY_TIME):
            body = await req.stream.read(limit + 1)
    except TimeoutError:
        refuse(falcon.HTTP_400, f"The body was not complete after {_BODY_TIME:g} seconds")
    if len(body) > limit:
        refuse(falcon.HTTP_413, f"The body is larger than {limit} bytes")
    return body


def decoded(body: bytes) -> Any:
    """The JSON value of a body. Ends the call with 400 if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        refuse(falcon.HTTP_400, _MALFORMED)


def text_of(body: Any, key: str) -> str:
    """A text in the body that must be there. Ends the call with 400 if it is not."""
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        refuse(falcon.HTTP_400, f"HTTP request content is missing '{key}', a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(falcon.HTTP_400, f"The value of '{key}' is not valid Unicode")
    return value


async def require_admin(services: Services, req: falcon.asgi.Request) -> Identification:
    """Who calls; ends the call with 403 unless that is somebody who may manage users."""
    caller = await identify(services, req)
    if not has_role(services.admin_roles, caller.user.realm, caller.user.roles):
        refuse(falcon.HTTP_403, "Not authorized to access this resource.")
    return caller


def absolute(services: Services, req: falcon.asgi.Request, caller: Identification, location: str) -> str:
    """The Location to send: relative as it is, or absolute where that is needed.

    A peer server (scheme Federation) uses the address as it is; a `public_url` is used for everybody.
    `location` is relative to `/api/v1/requests/`, and begins with `./` or `../`.
    """
    base = services.settings.public_url
    if base is None and not caller.by_peer:
        return location
    base = (base or req.prefix).rstrip("/")
    path = f"{PREFIX}/{location.removeprefix('../')}"
    if location.startswith("./"):
        path = f"{PREFIX}/requests/{location.removeprefix('./')}"
    return base + path
