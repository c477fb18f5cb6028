"""`/api/v1/downloads`: the results (REST v1, sections 3.7 and 5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import falcon
import falcon.asgi

from polytope_server.frontend.calls import absolute, identify, refuse, shown
from polytope_server.frontend.requests import result_location
from polytope_server.frontend.services import Services
from polytope_server.request import Status, Verb
from polytope_server.staging import ObjectNotFoundError, StagedObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class DownloadResource:
    """`/downloads/<id>/<token>.<extension>`: whoever has the unguessable link gets the bytes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        full_name = f"{request_id}/{name}"
        try:
            found = await self._services.staging.stat(full_name)
        except ObjectNotFoundError:
            refuse(falcon.HTTP_404, f"There is no result {shown(full_name)}")
        etag = f'"{found.md5}"' if found.md5 else f'"{found.size:x}-{int(found.modified * 1e6):x}"'
        resp.set_header("ETag", etag)
        resp.set_header("Accept-Ranges", "bytes")
        known = req.get_header("if-none-match") or ""
        if etag in known or known.strip() == "*":
            resp.status = falcon.HTTP_304
            return
        start, length = self._range(req, resp, found, etag)
        resp.content_type = found.content_type
        resp.content_length = length
        resp.set_header(
            "Content-Disposition", f'attachment; filename="{request_id}.{name.rpartition(".")[2]}"'
        )
        if found.md5 and length == found.size:
            resp.set_header("Content-MD5", found.md5)
        # Not without any stream: Falcon would then send a length of 0.
        head = req.scope.get("polytope.head")
        resp.stream = _nothing() if head else self._services.staging.read(full_name, start, length)

    @staticmethod
    def _range(
        req: falcon.asgi.Request, resp: falcon.asgi.Response, found: StagedObject, etag: str
    ) -> tuple[int, int]:
        """The first byte to send and how many: a single Range (RFC 9110) gives 206, or 416 if outside."""
        # HEAD knows no ranges (RFC 9110, 14.2).
        wanted = None if req.scope.get("polytope.head") else _RANGE.fullmatch(req.get_header("range") or "")
        condition = req.get_header("if-range")
        if not wanted or wanted[0] == "bytes=-" or (condition and condition != etag):
            return 0, found.size
        if wanted[1]:
            start = int(wanted[1])
            end = min(int(wanted[2]), found.size - 1) if wanted[2] else found.size - 1
        else:
            start, end = max(0, found.size - int(wanted[2])), found.size - 1
        if wanted[1] and wanted[2] and int(wanted[2]) < start:
            return 0, found.size  # no valid range: to be ignored
        if start > end:
            refuse(
                falcon.HTTP_416, "The range lies outside of the result", Content_Range=f"bytes */{found.size}"
            )
        resp.status = falcon.HTTP_206
        resp.set_header("Content-Range", f"bytes {start}-{end}/{found.size}")
        return start, end - start + 1


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class DownloadLinkResource:
    """`/downloads/<id>`: leads the request's owner to the link."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        services = self._services
        caller = await identify(services, req)
        request = await services.store.get(request_id)
        if request is None or request.user.id != caller.user.id:
            refuse(falcon.HTTP_404, f"Request {shown(request_id)} not found")
        if request.verb is not Verb.RETRIEVE:
            refuse(falcon.HTTP_400, f"Request {request_id} is not a download")
        if request.status is not Status.PROCESSED:
            refuse(falcon.HTTP_400, f"Request {request_id} not ready for download yet")
        location = result_location(services, request)
        resp.status = falcon.HTTP_303
        resp.data = b"{}"
        if "://" not in location:
            made = absolute(services, req, caller, location)
            # Relative to /api/v1/downloads/ here, not to /api/v1/requests/.
            location = f"./{location.removeprefix('../downloads/')}" if made == location else made
        resp.set_header("Location", location)
