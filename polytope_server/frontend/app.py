"""The ASGI application: routes, errors, and what is the same for every answer."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from polytope_server import log
from polytope_server.asgi import ClientGoneError, Event, Receive, Scope, Send, Shell, fail, pass_on, refuse
from polytope_server.config import Configuration
from polytope_server.frontend.account import (
    CollectionsResource,
    TestResource,
    UserResource,
)
from polytope_server.frontend.calls import PREFIX
from polytope_server.frontend.downloads import DownloadLinkResource, DownloadResource
from polytope_server.frontend.keys import KeysResource
from polytope_server.frontend.requests import RequestResource, RequestsResource
from polytope_server.frontend.services import Services
from polytope_server.frontend.uploads import UploadResource
from polytope_server.frontend.users import PasswordResource, UsersResource
from polytope_server.unavailable import UnavailableError

logger = logging.getLogger(__name__)

#: On every answer, errors too (REST v1, 1.1 and 1.2). CORS is open because no answer depends on cookies.
_HEADERS = [
    (b"cache-control", b"no-cache, no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"x-xss-protection", b"1; mode=block"),
    (b"access-control-allow-origin", b"*"),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization"),
    (b"access-control-max-age", b"86400"),
]
_UNKNOWN_ROUTE = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
_DEFAULTS = {404: _UNKNOWN_ROUTE, 405: "The method is not allowed for the requested URL."}


class Application:
    """The REST API as an ASGI application; `lifespan` opens and closes the back-ends."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        self._app = Shell(make_falcon(Services(configuration, data)), _HEADERS, _PREFLIGHT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HEAD is as GET, without the body; the server below sees the method as it was sent.
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET", "polytope.head": True}
        await self._app(scope, receive, send)


class Middleware:
    """Starts and stops the back-ends; looks at each call before it is routed."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def process_startup(self, scope: Scope, event: Event) -> None:
        await self._services.open()
        _release_on_stop(self._services)
        logger.info("the frontend is ready")

    async def process_shutdown(self, scope: Scope, event: Event) -> None:
        await self._services.close()

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        log.request_id.set(log.call_id())
        if req.method == "POST" and "/uploads/" not in req.path and not _is_json(req.content_type):
            refuse(falcon.HTTP_400, "Request must be JSON")


def make_falcon(services: Services) -> falcon.asgi.App[Any, Any]:
    """The Falcon application with all routes and error handlers."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=[Middleware(services)])
    routes = {
        "/test": TestResource(),
        "/user": UserResource(services),
        "/collections": CollectionsResource(services),
        "/requests": RequestsResource(services),
        "/requests/": RequestsResource(services),
        "/requests/{name}": RequestResource(services),
        "/downloads/{request_id}": DownloadLinkResource(services),
        "/downloads/{request_id}/{name}": DownloadResource(services),
        "/uploads/{request_id}": UploadResource(services),
        "/auth/keys": KeysResource(services),
        "/auth/users": UsersResource(services),
        "/auth/password": PasswordResource(services),
    }
    for path, resource in routes.items():
        app.add_route(f"{PREFIX}{path}", resource)
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _on_unexpected)
    app.add_error_handler(ClientGoneError, pass_on)
    app.add_error_handler(UnavailableError, _on_unavailable)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    return app


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _serialize(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError) -> None:
    message = error.description or _DEFAULTS.get(error.status_code) or str(error.title)
    fail(resp, error.status, message)


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    for name, value in dict(error.headers or ()).items():
        resp.set_header(name, value)
    _serialize(req, resp, error)


async def _on_unavailable(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    logger.error("%s", error)
    resp.set_header("Retry-After", "5")
    fail(resp, falcon.HTTP_503, "The server cannot reach its stores at the moment. Please try again.")


async def _on_unexpected(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    # What went wrong inside is for the log: it may hold paths, addresses and secrets.
    logger.error("%s %s failed", req.method, req.path, exc_info=error)
    message = f"An internal error occurred. The operator finds it in the log as {log.request_id.get()}."
    fail(resp, falcon.HTTP_500, message)


def _release_on_stop(services: Services) -> None:
    """Answer held polls at once when this process is told to stop; else it would wait for them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)
        if not callable(previous):
            continue

        def handle(received: int, frame: Any, previous: Callable[..., Any] = previous) -> None:
            services.waiters.release()
            previous(received, frame)

        signal.signal(number, handle)
