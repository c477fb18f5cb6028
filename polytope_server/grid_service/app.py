"""The ASGI application of the grid service."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import falcon.asgi

from polytope_server.grid_service.look_up import LookUp, LookUpError
from polytope_server.http.shell import ClientGoneError, Shell, StalledError, body, pass_on, refuse

logger = logging.getLogger(__name__)

#: Bytes that a request may have, and the seconds for the next of them.
_MOST, _CHUNK_TIME = 64 << 10, 10.0


class LookUpResource:
    """`/lookup-grid-config`."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        # One at a time: an FDB is not for several threads.
        self._thread = ThreadPoolExecutor(1)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The grid of the first field of a request."""
        request = _read_request(await _read_body(req))
        try:
            found = asyncio.get_running_loop().run_in_executor(self._thread, self._look_up.find, request)
            gridspec, md5 = await found
        except LookUpError as error:
            refuse(falcon.HTTP_400, str(error))
        resp.media = {"gridspec": gridspec, "md5hash": md5}


class HealthResource:
    """`/healthz`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """That the process serves."""
        resp.media = {"ok": True}


async def _read_body(req: falcon.asgi.Request) -> bytes:
    found = bytearray()
    try:
        async for chunk in body(req, _CHUNK_TIME):
            found += chunk
            if len(found) > _MOST:
                refuse(falcon.HTTP_413, f"a request has {_MOST} bytes at most")
    except StalledError as error:
        refuse(falcon.HTTP_408, str(error))
    return bytes(found)


def _read_request(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        refuse(falcon.HTTP_400, "the body is not JSON")
    request = found.get("request", found) if isinstance(found, dict) else None
    if not isinstance(request, dict):
        refuse(falcon.HTTP_400, 'expected {"request": {"georef": ...}}')
    return request


def make_application(look_up: LookUp) -> Shell:
    """The application."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/lookup-grid-config", LookUpResource(look_up))
    app.add_route("/healthz", HealthResource())
    for kind, handler in _HANDLERS.items():
        app.add_error_handler(kind, handler)
    return Shell(app, [(b"cache-control", b"no-cache")], [])


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    resp.status = error.status
    resp.media = {"error": error.description or error.title}


async def _on_unexpected(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    logger.error("%s %s failed", req.method, req.path, exc_info=error)
    resp.status = falcon.HTTP_500
    resp.media = {"error": "an internal error occurred; the operator finds it in the log"}


_HANDLERS: dict[type[Exception], Any] = {
    Exception: _on_unexpected,
    ClientGoneError: pass_on,
    falcon.HTTPError: _on_http_error,
}
