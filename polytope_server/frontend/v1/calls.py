"""What the resources share: who calls, what the body says, how an answer looks."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import falcon
import falcon.asgi

from polytope_server.authentication.manager import Identification, UnauthenticatedError
from polytope_server.frontend.limits import TooManyCallsError
from polytope_server.frontend.refusals import Kind, RefusedError, shown
from polytope_server.frontend.services import Services
from polytope_server.http.retry_after import retry_after
from polytope_server.http.shell import refuse
from polytope_server.language import RequestError
from polytope_server.user import User

PREFIX = "/api/v1"
#: A body must be complete after this many seconds.
_BODY_TIME = 30.0
_MALFORMED = "The browser (or proxy) sent a request that this server could not understand."
#: Below this a server that acts for its users may call nothing else.
_ACCOUNTS, _OPEN_TO_PEERS = f"{PREFIX}/auth/", {("GET", f"{PREFIX}/auth/keys")}
#: Bytes of the body of a call about a user or a key.
_SMALL_BODY = 64 << 10
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)


def answer(resp: falcon.asgi.Response, body: dict[str, Any], status: str = falcon.HTTP_200) -> None:
    """Answer with a JSON object."""
    resp.status = status
    resp.data = json.dumps(body).encode()


async def identify(services: Services, req: falcon.asgi.Request, *, fresh: bool = False) -> Identification:
    """Who calls.

    With `fresh`, credentials that the process remembers are verified again.
    Raises UnauthenticatedError if the credentials are missing or wrong, and RefusedError if they cannot be
    verified now, if the caller makes too many calls, or if another server calls what is not for it.
    """
    callers = services.callers
    caller = await callers.identify(req.get_header("authorization"), address_of(req), fresh=fresh)
    req.context.realm = caller.user.realm
    try:
        req.context.rate = await callers.admit(caller)
    except TooManyCallsError as error:
        req.context.rate = error.rate
        raise
    if _is_closed_to_peers(req):
        callers.require_user(caller)
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
        return await services.authentication.prove(user, password, address_of(req), check)
    except UnauthenticatedError as error:
        refuse(falcon.HTTP_429, str(error), **retry_after(error.retry_after))


def address_of(req: falcon.asgi.Request) -> str:
    """The address of the client, empty if it is not known."""
    return str((req.scope.get("client") or ("",))[0])


def preferred_wait(req: falcon.asgi.Request) -> float | None:
    """The seconds for which the client prefers a poll to be held (RFC 7240), None if it does not say."""
    preference = req.get_header("prefer")
    found = _PREFER_WAIT.search(preference) if preference else None
    return float(found[1]) if found else None


def refuse_parameters(req: falcon.asgi.Request) -> None:
    """End the call with 400 if it has query parameters: this route knows none."""
    if req.params:
        names = ", ".join(repr(shown(name)) for name in list(req.params)[:5])
        refuse(falcon.HTTP_400, f"Unknown query parameters: {names}; this route has none")


async def read_json(req: falcon.asgi.Request, limit: int) -> Any:
    """The JSON value of a small body. Raises RefusedError as :func:`read_body` and :func:`decoded` do."""
    return decoded(await read_body(req, min(limit, _SMALL_BODY)))


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """The body. Raises RefusedError if it does not come in time, or has more than `limit` bytes."""
    if (req.content_length or 0) > limit:
        _refuse_size(limit)
    try:
        async with asyncio.timeout(_BODY_TIME):
            body = await req.stream.read(limit + 1)
    except TimeoutError:
        reason = f"The body was not complete after {_BODY_TIME:g} seconds"
        raise RefusedError(Kind.INVALID, reason) from None
    if len(body) > limit:
        _refuse_size(limit)
    return body


def _refuse_size(limit: int) -> NoReturn:
    raise RefusedError(Kind.TOO_LARGE, f"The body is larger than {limit} bytes")


def decoded(body: bytes, load: Callable[[bytes], Any] = json.loads) -> Any:
    """The JSON value of a body, as `load` reads it. Raises RefusedError if it is none, or no request."""
    try:
        return load(body)
    except RequestError as error:
        raise RefusedError(Kind.INVALID, str(error)) from None
    except (ValueError, RecursionError):
        raise RefusedError(Kind.INVALID, _MALFORMED) from None


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
    """Who calls. Raises RefusedError as :func:`identify` does, and unless that user may manage users."""
    caller = await identify(services, req)
    services.callers.require_administrator(caller)
    return caller
