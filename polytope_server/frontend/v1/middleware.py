"""Middleware: the life of the application, and what happens before and after each call."""

from __future__ import annotations

import logging
import math
import time

import falcon
import falcon.asgi

from polytope_server.frontend.limits import CallRate
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.services import Services
from polytope_server.http.shell import Event, Scope, refuse
from polytope_server.runtime.management.server import Management
from polytope_server.runtime.process import before_stop

logger = logging.getLogger(__name__)


class LifespanMiddleware:
    """Starts and stops the back-ends and the management port."""

    def __init__(self, services: Services, management: Management) -> None:
        self._services = services
        self._management = management

    async def process_startup(self, scope: Scope, event: Event) -> None:
        await self._management.open()
        await self._services.lifecycle.open()
        # Held polls are answered as soon as this process is to stop, which otherwise would wait for them.
        before_stop(self._services.waiters.release)
        logger.info("the frontend is ready")

    async def process_shutdown(self, scope: Scope, event: Event) -> None:
        await self._services.lifecycle.close()
        await self._management.close()


class BodyTypeMiddleware:
    """Refuses bodies that are not JSON before they are routed."""

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        if req.method == "POST" and "/uploads/" not in req.path and not _is_json(req.content_type):
            refuse(falcon.HTTP_400, "Request must be JSON")


class CallsMiddleware:
    """Counts each call, whatever comes of it."""

    def __init__(self, metrics: FrontendMetrics) -> None:
        self._metrics = metrics

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, succeeded: bool
    ) -> None:
        seconds = time.perf_counter() - req.context.started
        self._metrics.called(req.method, req.uri_template, resp.status_code, seconds)


class RateLimitMiddleware:
    """Says on each answer how many calls are left.

    The headers are those of the tenth draft of `RateLimit header fields for HTTP`, which knows whole numbers
    only.
    """

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, succeeded: bool
    ) -> None:
        rate: CallRate | None = getattr(req.context, "rate", None)
        if rate is not None:
            resp.set_header("RateLimit-Policy", f'"calls";q={rate.limit};w={math.ceil(rate.window)}')
            remaining, reset = math.floor(rate.remaining), math.ceil(rate.reset)
            resp.set_header("RateLimit", f'"calls";r={remaining};t={reset}')


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
