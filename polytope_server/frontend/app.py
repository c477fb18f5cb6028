"""The ASGI application: routes, errors, and what is the same for every answer."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from polytope_server.config import Configuration
from polytope_server.frontend.account import CollectionsResource, TestResource, UserResource
from polytope_server.frontend.calls import PREFIX
from polytope_server.frontend.downloads import DownloadLinkResource, DownloadResource
from polytope_server.frontend.errors import Errors
from polytope_server.frontend.keys import KeysResource
from polytope_server.frontend.limits import RateLimitHeaders
from polytope_server.frontend.metrics import CallsMiddleware
from polytope_server.frontend.requests import RequestResource, RequestsResource
from polytope_server.frontend.services import Services
from polytope_server.frontend.shares import Shared
from polytope_server.frontend.uploads import UploadResource
from polytope_server.frontend.users import PasswordResource, UsersResource
from polytope_server.http.connections import Connections
from polytope_server.http.shell import ASGIApp, Event, Receive, Scope, Send, Shell, refuse
from polytope_server.runtime import log
from polytope_server.runtime.management.server import Management
from polytope_server.runtime.process import before_stop

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


class Application:
    """The REST API as an ASGI application; `lifespan` opens and closes the back-ends."""

    def __init__(
        self,
        configuration: Configuration,
        data: Path,
        listener: socket.socket | None = None,
        connections: Connections | None = None,
    ) -> None:
        """`data` is the data folder, `listener` the socket for management, if there is to be any.

        `connections` are those over which it is called: it counts what becomes of them.
        """
        services = Services(configuration, data)
        management = Management(
            listener, services.health, services.metrics, lambda: services.waiters.released
        )
        inner: ASGIApp = make_falcon(services, management)
        if connections is not None:
            connections.on_cut = services.metrics.connection_cut
            if services.settings.proxy_support:
                inner = Shared(inner, connections.limits.per_address, services.metrics.connection_cut)
        self._app = Shell(inner, _HEADERS, _PREFLIGHT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HEAD is as GET, without the body; the server below sees the method as it was sent.
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET", "polytope.head": True}
        await self._app(scope, receive, send)


class Middleware:
    """Starts and stops the back-ends; looks at each call before it is routed."""

    def __init__(self, services: Services, management: Management) -> None:
        self._services = services
        self._management = management

    async def process_startup(self, scope: Scope, event: Event) -> None:
        await self._management.open()
        await self._services.open()
        # Held polls are answered at once when this process is told to stop; else it would wait for them.
        before_stop(self._services.waiters.release)
        logger.info("the frontend is ready")

    async def process_shutdown(self, scope: Scope, event: Event) -> None:
        await self._services.close()
        await self._management.close()

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        log.request_id.set(log.call_id())
        if req.method == "POST" and "/uploads/" not in req.path and not _is_json(req.content_type):
            refuse(falcon.HTTP_400, "Request must be JSON")


def make_falcon(services: Services, management: Management) -> falcon.asgi.App[Any, Any]:
    """The Falcon application with all routes and error handlers."""
    middleware: list[Any] = [CallsMiddleware(services.metrics), Middleware(services, management)]
    if services.limits.counts_calls:
        middleware.append(RateLimitHeaders())
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=middleware)
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
    Errors(services.support).add_to(app)
    return app


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
