"""`/api/v1/uploads`: the data of archive requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import falcon
import falcon.asgi

from polytope_server.frontend.refusals import Kind, RefusedError, shown
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.answers import answer_pending, answer_state
from polytope_server.frontend.v1.calls import answer, identify, preferred_wait
from polytope_server.frontend.v1.removed import refuse_removed
from polytope_server.http.retry_after import retry_after
from polytope_server.http.shell import StalledError, at_end, body, refuse
from polytope_server.request import Request
from polytope_server.runtime import log
from polytope_server.staging import ChecksumError, TooSlowError
from polytope_server.staging.checksums import announced_md5

#: The next bytes of an upload must come within this many seconds.
_CHUNK_TIME = 60.0


class UploadResource:
    """`/uploads/<id>`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        """As a poll; an unknown id (or another user's) is 410 here."""
        caller = await identify(self._services, req)
        request = await self._services.polling.poll(caller.user, request_id, preferred_wait(req))
        if request is None:
            await refuse_removed(self._services, caller, request_id)
            refuse(falcon.HTTP_410, f"Request {shown(request_id)} not found", Deprecation="true")
        answer_state(self._services, req, resp, caller, request)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        """Take the data of an archive request, check them, and let the request wait for a worker."""
        services = self._services
        caller = await identify(services, req)
        request = await services.polling.find(caller.user, request_id)
        if request is None:
            refuse(falcon.HTTP_400, f"Request {shown(request_id)} does not exist")
        if not services.uploads.is_needed(request):
            answer(resp, {"message": "Data has already been uploaded"})
            return
        log.request_id.set(request.id)
        at_end(req, services.transfers.admit_upload(request))
        changed = await self._take_data(req, request, _read_checksum(req))
        answer_pending(services, req, resp, caller, changed)

    async def _take_data(self, req: falcon.asgi.Request, request: Request, md5: str) -> Request:
        try:
            return await self._services.uploads.take(request, _read_chunks(req), req.content_length or 0, md5)
        except ChecksumError:
            refuse(falcon.HTTP_400, "Uploaded data checksum does not agree with header X-Checksum")
        except TooSlowError as error:
            refuse(falcon.HTTP_429, f"{error}. Try again.", **retry_after())


def _read_checksum(req: falcon.asgi.Request) -> str:
    """The MD5 sum that the client computed, in hex. Ends the call with 400 if it is missing, or none."""
    try:
        announced = announced_md5(req.get_header("x-checksum"), req.get_header("content-md5"))
    except ValueError:
        announced = None
    if announced is None:
        refuse(falcon.HTTP_400, "The header X-Checksum must hold the MD5 sum of the data in hex")
    return announced


async def _read_chunks(req: falcon.asgi.Request) -> AsyncIterator[bytes]:
    """The body in chunks. Raises RefusedError if it stalls."""
    try:
        async for chunk in body(req, _CHUNK_TIME):
            yield chunk
    except StalledError as error:
        raise RefusedError(Kind.INVALID, str(error)) from None
