"""The ASGI application: what is the same for every API and every answer."""

from __future__ import annotations

import socket

from polytope_server.frontend.concurrency import ConcurrencyLimit
from polytope_server.frontend.proxy import ForwardedHeaders, proxies
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.routes import make_falcon
from polytope_server.http.connections import Connections
from polytope_server.http.shell import ASGIApp, Receive, Scope, Send, Shell
from polytope_server.runtime.management.server import Management

#: What a script of another site may read of an answer. By names, as `*` does not count in every browser.
_EXPOSED = (
    "Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-MD5, Content-Range, Date, "
    "Deprecation, ETag, Idempotency-Key, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate, X-Request-Id, X-Total-Count"
)
#: On every answer, errors too. CORS is open because no answer depends on cookies.
_HEADERS = [
    (b"cache-control", b"no-cache, no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"x-xss-protection", b"1; mode=block"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED.encode()),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization"),
    (b"access-control-max-age", b"86400"),
]


class Application:
    """What is around the APIs: the headers of every answer, HEAD, and clients that hang up."""

    def __init__(self, api: ASGIApp) -> None:
        self._app = Shell(api, _HEADERS, _PREFLIGHT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HEAD is as GET, without the body; the server below sees the method as it was sent.
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET", "polytope.head": True}
        await self._app(scope, receive, send)


def make_application(
    services: Services, listener: socket.socket | None = None, connections: Connections | None = None
) -> Application:
    """The APIs of a frontend with these parts; `lifespan` opens and closes the back-ends.

    `listener` is the socket for management, if there is to be any. `connections` are those over which the
    application is called: it counts what becomes of them.
    """
    management = Management(listener, services.health, services.metrics, lambda: services.waiters.released)
    api: ASGIApp = make_falcon(services, management)
    if connections is not None:
        connections.on_cut = services.metrics.connection_cut
        if services.settings.proxy_support:
            api = ConcurrencyLimit(api, connections.limits.per_address, services.metrics.connection_cut)
    if services.settings.proxy_support:
        api = ForwardedHeaders(api, proxies(services.settings))
    return Application(api)
