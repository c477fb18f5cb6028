"""How errors are answered: a status, and one message."""

from __future__ import annotations

import logging
from typing import Any

import falcon
import falcon.asgi

from polytope_server.frontend.support import FailedRequestError, Support
from polytope_server.http.shell import ClientGoneError, fail, pass_on
from polytope_server.runtime import log
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

    def _serialize(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError
    ) -> None:
        message = error.description or _DEFAULTS.get(error.status_code) or str(error.title)
        message = shortened(message, _LONGEST)
        failed = error.request_id if isinstance(error, FailedRequestError) else ""
        realm = getattr(req.context, "realm", None)
        fail(resp, error.status, self._support.extended(message, error.status_code, realm, failed))

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

    async def _on_unavailable(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        logger.error("%s", error)
        resp.set_header("Retry-After", "5")
        message = "The server cannot reach its stores at the moment. Please try again."
        self._serialize(req, resp, falcon.HTTPError(falcon.HTTP_503, description=message))

    async def _on_unexpected(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        # What went wrong inside is for the log: it may hold paths, addresses and secrets.
        logger.error("%s %s failed", req.method, req.path, exc_info=error)
        message = f"An internal error occurred. The operator finds it in the log as {log.request_id.get()}."
        self._serialize(req, resp, falcon.HTTPError(falcon.HTTP_500, description=message))
