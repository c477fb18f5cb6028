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
    """202: the request has not ended; or the same submission has come before, whatever became of it."""
    status = _SHOWN_STATUS.get(request.status, str(request.status))
    place = f"../uploads/{request.id}" if request.status is Status.UPLOADING else f"./{request.id}"
    resp.set_header("Location", absolute(services, req, caller, place))
    resp.set_headers(_POLL_AGAIN)
    resp.status = falcon.HTTP_202
    # The id has no character that JSON would write otherwise.
    known = _pending_body(request.user_message or f"Request {status}", status)
    resp.data = b'%b, "id": "%b"}' % (known, request.id.encode())


@lru_cache(maxsize=100)
def _pending_body(message: str, status: str) -> bytes:
    """The body but for the id, which comes last, and the end."""
    return json.dumps({"message": message, "status": status}).encode().removesuffix(b"}")


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
        location = absolute(services, req, caller, f"./{request.id}")
        answer(resp, {"location": location, "message": request.user_message, "status": "processed"})
    else:
        location = result_location(services, req, caller, request)
        resp.set_header("Location", location)
        body: dict[str, Any] = {
            "contentLength": request.content_length,
            "contentType": request.content_type,
            "location": location,
        }
        if request.user_message != "Success":
            body["message"] = request.user_message
        answer(resp, body, falcon.HTTP_303)


def result_location(
    services: Services, req: falcon.asgi.Request, caller: Identification, request: Request
) -> str:
    """Where the result is: at the staging, or as :func:`absolute` says where this server serves it."""
    public = services.staging.public_url(request.result)
    return public or absolute(services, req, caller, f"../downloads/{request.result}")


def absolute(services: Services, req: falcon.asgi.Request, caller: Identification, location: str) -> str:
    """The location to send, in the header and in the body: relative as it is, or absolute.

    It is absolute where the address is known by which clients reach this server: `public_url`, or a Host that
    the configuration names. A peer server (scheme Federation), which uses it as it is, gets the Host of its
    own call. `location` is relative to `/api/v1/requests/`, and begins with `./` or `../`.
    """
    base = services.settings.public_url
    if base is None and (caller.by_peer or services.settings.is_own_host(req.netloc)):
        base = req.prefix
    if base is None:
        return location
    path = f"{PREFIX}/{location.removeprefix('../')}"
    if location.startswith("./"):
        path = f"{PREFIX}/requests/{location.removeprefix('./')}"
    return base.rstrip("/") + path
