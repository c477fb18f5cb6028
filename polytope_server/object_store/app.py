"""The ASGI application of the object store: routes, errors, and what is the same for every answer."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from polytope_server.http.connections import Connections
from polytope_server.http.retry_after import retry_after
from polytope_server.http.shell import INTERNAL_ERROR, ClientGoneError, Event, Scope, Shell, fail, pass_on
from polytope_server.object_store.calls import Gate
from polytope_server.object_store.metrics import StoreMetrics
from polytope_server.object_store.resources import (
    HealthResource,
    ListResource,
    ObjectResource,
    RequestResource,
    RoomResource,
    UnfinishedResource,
)
from polytope_server.object_store.store import Store
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.runtime.management.server import Management
from polytope_server.runtime.process import before_stop
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.staging import LargestObjectError, ObjectTooLargeError, StagingFullError
from polytope_server.staging.polytope import PolytopeStagingSettings
from polytope_server.staging.polytope.http import LARGEST, MARK, ROOM, SIZE

logger = logging.getLogger(__name__)

#: CORS is open because no answer depends on cookies.
_HEADERS = [
    (MARK.lower().encode(), b"polytope"),
    (b"cache-control", b"private, no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]
_DEFAULTS = {404: "There is nothing at this address", 405: "The method is not allowed here"}


class Middleware:
    """Opens and closes the folder."""

    def __init__(self, store: Store, metrics: Metrics, listener: socket.socket | None) -> None:
        self._store = store
        self._stop = asyncio.Event()
        self._health = Health({"folder": Check(store.staging.check)})
        self._management = Management(listener, self._health, metrics, self._stop.is_set)

    async def process_startup(self, scope: Scope, event: Event) -> None:
        await self._management.open()
        await self._store.open()
        before_stop(self._stop.set)
        self._health.started = True
        logger.info("the object store is ready")

    async def process_shutdown(self, scope: Scope, event: Event) -> None:
        await self._store.close()
        await self._management.close()


def make_application(
    settings: PolytopeStagingSettings,
    data: Path,
    listener: socket.socket | None = None,
    connections: Connections | None = None,
) -> Shell:
    """The application; `data` is the data folder. Its `lifespan` opens and closes the folder of objects.

    `listener` is the socket for management, if there is to be any; of `connections` it counts what becomes.
    """
    store, gate, metrics = Store(settings, data), Gate(settings.token), StoreMetrics()
    if connections is not None:
        connections.on_cut = lambda reason: metrics.cut.labels(reason).inc()
    middleware: list[Any] = [Middleware(store, metrics, listener)]
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=middleware)
    app.add_route("/", ListResource(store, gate))
    app.add_route("/health", HealthResource())
    app.add_route("/room", RoomResource(store, gate))
    app.add_route("/unfinished", UnfinishedResource(store, gate))
    app.add_route("/{request_id}/", RequestResource(store, gate))
    app.add_route("/{request_id}/{name}", ObjectResource(store, gate, metrics))
    for kind, handler in _HANDLERS.items():
        app.add_error_handler(kind, handler)
    return Shell(app, _HEADERS, _PREFLIGHT)


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    fail(resp, error.status, error.description or _DEFAULTS.get(error.status_code) or str(error.title))
    for name, value in dict(error.headers or ()).items():
        resp.set_header(name, value)


async def _on_full(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    logger.error("%s", error)
    if isinstance(error, LargestObjectError):
        resp.set_header(LARGEST, "1")
    fail(resp, falcon.HTTP_507, str(error))


async def _on_too_large(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: ObjectTooLargeError, params: dict[str, Any]
) -> None:
    logger.error("an object %s", error)
    resp.set_header(SIZE, str(error.size))
    resp.set_header(ROOM, str(error.room))
    fail(resp, falcon.HTTP_413, f"The object {error}")


async def _on_unavailable(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    logger.error("%s", error)
    resp.set_headers(retry_after())
    fail(resp, falcon.HTTP_503, "The object store cannot use its folder at the moment")


async def _on_unexpected(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    # What went wrong inside is for the log. A name is as good as a key to the object, and stays out of it.
    logger.error("%s failed", req.method, exc_info=error)
    fail(resp, falcon.HTTP_500, INTERNAL_ERROR)


_HANDLERS: dict[type[Exception], Any] = {
    Exception: _on_unexpected,
    ClientGoneError: pass_on,
    UnavailableError: _on_unavailable,
    StagingFullError: _on_full,
    ObjectTooLargeError: _on_too_large,
    falcon.HTTPError: _on_http_error,
}
