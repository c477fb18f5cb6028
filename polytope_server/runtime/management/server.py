"""HTTP on the management port, in the event loop of the process: what answers there shows that it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST

from polytope_server.runtime.management.health import Health
from polytope_server.runtime.management.metrics import Metrics

logger = logging.getLogger(__name__)
_http_logger = logging.getLogger(f"{__name__}.http")
# aiohttp logs a traceback for everything that is sent to the port and is not HTTP: no fault of this server.
_http_logger.addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
)

#: Bytes of a line of the head, lines of a head, and seconds for which an idle connection is kept.
_LONGEST_LINE, _MOST_LINES, _IDLE = 2048, 32, 30.0
#: aiohttp waits for a head without end. For one more connection the oldest is closed, so that probes get in.
_MOST_CONNECTIONS = 64


class Management:
    """The management port of a process, from its start to its end."""

    def __init__(
        self, listener: socket.socket | None, health: Health, metrics: Metrics, draining: Callable[[], bool]
    ) -> None:
        """`listener` is the socket to answer on, None for nothing of that.

        `draining` says whether the process is about to stop: it takes no new work, and finishes what it has.
        """
        self._listener = listener
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._health = health
        self._draining = draining

    async def open(self) -> None:
        """Begin to answer."""
        if self._listener is None:
            return
        self._runner = web.AppRunner(
            make_application(self.report, self._metrics.text),
            access_log=None,
            logger=_http_logger,
            keepalive_timeout=_IDLE,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_LINES,
            lingering_time=0,
            # No one needs an answer from a process that has ended.
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make_connection, sock=self._listener)
        host, port = self._listener.getsockname()[:2]
        logger.info("management on %s, port %d", host, port)

    async def close(self) -> None:
        """Answer no more."""
        self._health.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _make_connection(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        assert self._runner is not None  # noqa: S101 -- open made it
        server = self._runner.server
        assert server is not None  # noqa: S101 -- by its setup
        # In the order in which they were made.
        for oldest in server.connections[: 1 - _MOST_CONNECTIONS]:
            if oldest.transport is not None:
                # Not close(), which waits for a reader.
                oldest.transport.abort()
        return server()

    async def report(self) -> dict[str, Any]:
        """Whether the process is ready, and how its back-ends are: the answer of `/readyz`."""
        states = await self._health.states()
        draining = self._draining()
        well = all(not why for needed, why in states.values() if needed)
        return {
            "ready": well and self._health.started and not draining,
            "started": self._health.started,
            "draining": draining,
            "backends": {
                role: {"ok": not why, "needed": needed, **({"why": why} if why else {})}
                for role, (needed, why) in states.items()
            },
        }


def make_application(
    report: Callable[[], Awaitable[dict[str, Any]]], metrics: Callable[[], bytes]
) -> web.Application:
    """The application: `/livez`, `/readyz` with that report, and `/metrics` with that text."""

    async def live(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(request: web.Request) -> web.Response:
        found = await report()
        status = 200 if found["ready"] else 503
        return web.Response(status=status, text=f"{json.dumps(found)}\n", content_type="application/json")

    async def measured(request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.on_response_prepare.append(_common_headers)
    for path, handler in (("/livez", live), ("/readyz", ready), ("/metrics", measured)):
        application.router.add_get(path, handler)
    return application


async def _common_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"
