"""How errors are answered: a status, and one message."""

from __future__ import annotations

import logging
import re
from typing import Any

import falcon
import falcon.asgi

from polytope_server.authentication.manager import UnauthenticatedError
from polytope_server.frontend.refusals import FailedRequestError, Kind, RefusedError
from polytope_server.frontend.support import Support
from polytope_server.http.retry_after import retry_after, whole_seconds
from polytope_server.http.shell import INTERNAL_ERROR, ClientGoneError, fail, pass_on
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.texts import shortened

logger = logging.getLogger(__name__)

_UNKNOWN_ROUTE = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
#: Characters of a message; those of data sources may be of any length.
_LONGEST = 8000
_DEFAULTS = {404: _UNKNOWN_ROUTE, 405: "The method is not allowed for the requested URL."}
_STATUSES = {
    Kind.INVALID: falcon.HTTP_400,
    Kind.FORBIDDEN: falcon.HTTP_403,
    Kind.TOO_LARGE: falcon.HTTP_413,
    Kind.TOO_MANY: falcon.HTTP_429,
    Kind.BUSY: falcon.HTTP_429,
    Kind.UNSUPPORTED: falcon.HTTP_501,
    Kind.UNAVAILABLE: falcon.HTTP_503,
    # Not 503, on which `polytope-client` says nothing for minutes.
    Kind.NO_ROOM: falcon.HTTP_507,
}
#: Refusals that end by themselves: the message says when to try again.
_PASSING = frozenset({Kind.TOO_MANY, Kind.BUSY})
#: Refusals that carry Retry-After.
_TRY_AGAIN = _PASSING | {Kind.UNAVAILABLE}
#: How `polytope-client` names itself: up to 0.7.10 by its library, as any program with that library does;
#: later by its own name, which another program that contains it may put after its own.
_CLIENT = re.compile(r"^python-requests/|(?:^|\s)polytope-client/", re.IGNORECASE)


class Errors:
    """The error handlers of the application."""

    def __init__(self, support: Support) -> None:
        self._support = support

    def add_to(self, app: falcon.asgi.App[Any, Any]) -> None:
        """Have the application use them."""
        app.set_error_serializer(self._serialize)
        app.add_error_handler(Exception, self._on_unexpected)
        app.add_error_handler(ClientGoneError, pass_on)
        app.add_error_handler(UnavailableError, self._on_unavailable)
        app.add_error_handler(falcon.HTTPError, self._on_http_error)
        app.add_error_handler(UnauthenticatedError, self._on_unauthenticated)
        app.add_error_handler(RefusedError, self._on_refused)
        app.add_error_handler(FailedRequestError, self._on_failed_request)

    def _serialize(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError
    ) -> None:
        message = error.description or _DEFAULTS.get(error.status_code) or str(error.title)
        self._answer_error(req, resp, error.status, message)

    def _answer_error(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        status: str | int,
        message: str,
        failed: str = "",
    ) -> None:
        """Answer with an error; `failed` is the id of the request that failed, if it is about one."""
        message = shortened(message, _LONGEST)
        code = falcon.http_status_to_code(status)
        # All others are mistakes that their callers can mend.
        if failed or code in (401, 403, 429) or code >= 500:
            message = self._support.extended(message, getattr(req.context, "realm", None), failed)
        fail(resp, status, message)

    async def _on_http_error(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: falcon.HTTPError,
        params: dict[str, Any],
    ) -> None:
        for name, value in dict(error.headers or ()).items():
            resp.set_header(name, value)
        self._serialize(req, resp, error)

    async def _on_unauthenticated(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: UnauthenticatedError,
        params: dict[str, Any],
    ) -> None:
        if error.challenges:
            resp.set_header("WWW-Authenticate", ", ".join(error.challenges))
        status = falcon.HTTP_401
        if error.retry_after is not None:
            resp.set_headers(retry_after(error.retry_after))
            if not is_polytope_client(req):
                status = falcon.HTTP_429
        self._answer_error(req, resp, status, str(error))

    async def _on_refused(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: RefusedError,
        params: dict[str, Any],
    ) -> None:
        status, message = _STATUSES[error.kind], error.reason
        if error.kind is Kind.TOO_MANY and _hides_429(req):
            status = falcon.HTTP_403
        if error.kind in _PASSING:
            seconds = whole_seconds(error.retry_after)
            message += f". Try again in {seconds} second{'s' if seconds != 1 else ''}."
        if error.kind in _TRY_AGAIN:
            resp.set_headers(retry_after(error.retry_after))
        self._answer_error(req, resp, status, message)

    async def _on_failed_request(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: FailedRequestError,
        params: dict[str, Any],
    ) -> None:
        message = f"Request failed with error:\n{error.reason}"
        self._answer_error(req, resp, falcon.HTTP_400, message, error.request_id)

    async def _on_unavailable(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        logger.error("%s", error)
        resp.set_headers(retry_after())
        message = "The server cannot reach its stores at the moment. Please try again."
        self._answer_error(req, resp, falcon.HTTP_503, message)

    async def _on_unexpected(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        # What went wrong inside is for the log: it may hold paths, addresses and secrets.
        logger.error("%s %s failed", req.method, req.path, exc_info=error)
        self._answer_error(req, resp, falcon.HTTP_500, INTERNAL_ERROR)


def is_polytope_client(req: falcon.asgi.Request) -> bool:
    """Whether the caller may be `polytope-client`."""
    return _CLIENT.search(req.user_agent or "") is not None


def _hides_429(req: falcon.asgi.Request) -> bool:
    """Whether the caller would not show the message of a 429 although its user should see it.

    On a 429 `polytope-client` is silent for two minutes and tries again, ten times, and never shows the
    message. That is right for a poll, which then goes on. To everything else it gets a 403, whose message it
    shows at once.
    """
    return is_polytope_client(req) and not _is_poll(req)


def _is_poll(req: falcon.asgi.Request) -> bool:
    # A path with a name in it: a request, an upload, a download. Resources that know better have said so.
    by_route = req.method == "GET" and "{" in (req.uri_template or "")
    return bool(getattr(req.context, "is_poll", by_route))
