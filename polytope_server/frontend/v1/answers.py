"""Answers about a request: its state, and where it or its result is."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import falcon
import falcon.asgi

from polytope_server.authentication.manager import Identification
from polytope_server.frontend.refusals import FailedRequestError
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.calls import PREFIX, answer
from polytope_server.http.retry_after import retry_after
from polytope_server.request import Request, Status, Verb

#: The states as clients see them: which of the two a request waits in is no concern of theirs.
_SHOWN_STATUS = {Status.WAITING: "queued"}
#: `polytope-client` ignores it, and peer servers do not.
_POLL_AGAIN = retry_after()


def answer_pending(
    services: Services,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    caller: Identification,
    request: Request,
) -> None:
    """202: the request has not ended."""
    status = _SHOWN_STATUS.get(request.status, str(request.status))
    place = f"../uploads/{request.id}" if request.status is Status.UPLOADING else f"./{request.id}"
    resp.set_header("Location", absolute(services, req, caller, place))
    resp.set_headers(_POLL_AGAIN)
    resp.status = falcon.HTTP_202
    resp.data = _pending_body(request.user_message or f"Request {status}", status)


@lru_cache(maxsize=100)
def _pending_body(message: str, status: str) -> bytes:
    return json.dumps({"message": message, "status": status}).encode()


def answer_state(
    services: Services,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    caller: Identification,
    request: Request,
) -> None:
    """The answer to a poll of a request, whatever its state."""
    if request.status is Status.FAILED:
        raise FailedRequestError(request)
    if request.status is not Status.PROCESSED:
        answer_pending(services, req, resp, caller, request)
    elif request.verb is Verb.ARCHIVE:
        answer(resp, {"location": f"./{request.id}", "message": "Success", "status": "processed"})
    else:
        location = result_location(services, request)
        resp.set_header("Location", absolute_result(services, req, caller, location))
        body: dict[str, Any] = {
            "contentLength": request.content_length,
            "contentType": request.content_type,
            "location": location,
        }
        answer(resp, body, falcon.HTTP_303)


def result_location(services: Services, request: Request) -> str:
    """Where the result is: at the staging, or relative to `/api/v1/requests/` where this server serves it."""
    return services.staging.public_url(request.result) or f"../downloads/{request.result}"


def absolute_result(
    services: Services, req: falcon.asgi.Request, caller: Identification, location: str
) -> str:
    """The same, made absolute where that is needed."""
    return location if "://" in location else absolute(services, req, caller, location)


def absolute(services: Services, req: falcon.asgi.Request, caller: Identification, location: str) -> str:
    """The Location to send: relative as it is, or absolute where that is needed.

    A peer server (scheme Federation) uses the address as it is; a `public_url` is used for all callers.
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
