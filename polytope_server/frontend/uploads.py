"""`/api/v1/uploads`: the data of archive requests (REST v1, sections 3.8 and 3.9)."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import falcon
import falcon.asgi

from polytope_server.frontend.calls import answer, identify, shown
from polytope_server.frontend.removed import refuse_removed
from polytope_server.frontend.requests import answer_pending, answer_state, poll
from polytope_server.frontend.services import Services
from polytope_server.frontend.support import FailedRequestError
from polytope_server.http.shell import StalledError, body, refuse
from polytope_server.media_types import OCTET_STREAM
from polytope_server.notices import Topic
from polytope_server.request import Request, Status, Upload, Verb
from polytope_server.request_store import StoreUnavailableError
from polytope_server.runtime import log
from polytope_server.staging import (
    ChecksumError,
    ObjectTooLargeError,
    StagedObject,
    StagingFullError,
    TooSlowError,
    new_object_name,
)
from polytope_server.staging.checksums import announced_md5
from polytope_server.staging.names import is_request_id

logger = logging.getLogger(__name__)

#: The next bytes of an upload must come within so many seconds.
_CHUNK_TIME = 60.0
#: Bytes of an upload from which on it is worth a call to ask whether there is room.
_LARGE = 1 << 20
#: Seconds between two notes in the store that an upload makes progress.
_NOTED_EVERY = 10.0
#: States in which data may still be (re)placed, and the state after it.
_OPEN = {
    Status.UPLOADING: Status.WAITING,
    Status.WAITING: Status.WAITING,
    Status.QUEUED: Status.QUEUED,
}


class UploadResource:
    """`/uploads/<id>`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        """As a poll; an unknown id (or another user's) is 410 here."""
        caller = await identify(self._services, req)
        request = await poll(self._services, req, caller, request_id)
        if request is None:
            await refuse_removed(self._services, caller, request_id)
            refuse(falcon.HTTP_410, f"Request {shown(request_id)} not found", Deprecation="true")
        answer_state(self._services, req, resp, caller, request)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        """Take the data of an archive request, check them, and let the request wait for a worker."""
        caller = await identify(self._services, req)
        request = await self._open_request(caller.user.id, request_id)
        if request is None:
            answer(resp, {"message": "Data has already been uploaded"})
            return
        log.request_id.set(request.id)
        self._services.transfers.admit_upload(req, request)
        staged = await self._stage(req, request, _checksum(req))
        changed = await self._attach(request, staged)
        self._services.notices.publish(Topic.WAITING, request.id)
        answer_pending(self._services, req, resp, caller, changed)

    async def _open_request(self, user_id: str, request_id: str) -> Request | None:
        """The request, if it may get data; None if they are not needed any more. Else ends the call."""
        request = await self._services.store.get(request_id) if is_request_id(request_id) else None
        if request is None or request.user.id != user_id:
            refuse(falcon.HTTP_400, f"Request {shown(request_id)} does not exist")
        uploaded = request.status is Status.UPLOADING or isinstance(request.input, Upload)
        if request.verb is not Verb.ARCHIVE or not uploaded:
            refuse(falcon.HTTP_400, f"Request {request_id} is not an upload")
        if request.status is Status.PROCESSED:
            return None
        if request.status is Status.FAILED:
            raise FailedRequestError(request)
        if request.status not in _OPEN:
            refuse(falcon.HTTP_400, f"Request {request_id} is being processed, its data cannot be replaced")
        return request

    async def _stage(self, req: falcon.asgi.Request, request: Request, md5: str) -> StagedObject:
        limit = self._services.settings.max_upload
        if (req.content_length or 0) > limit:
            refuse(falcon.HTTP_413, f"The upload is larger than {limit} bytes")
        # What the data are is for the data source to find out.
        name = new_object_name(request.id, OCTET_STREAM)
        data = self._noted(_body(req, limit), request.id)
        try:
            if (req.content_length or 0) >= _LARGE:
                await self._services.staging.admit(req.content_length or 0)
            staged = await self._services.staging.create(name, data, OCTET_STREAM, md5)
        except ChecksumError:
            refuse(falcon.HTTP_400, "Uploaded data checksum does not agree with header X-Checksum")
        except ObjectTooLargeError as error:
            refuse(falcon.HTTP_413, f"The upload {error}")
        except StagingFullError as error:
            logger.error("%s", error)
            # Not 503, on which `polytope-client` says nothing for minutes.
            refuse(falcon.HTTP_507, "There is no room for the upload at the moment. Please try again later")
        except TooSlowError as error:
            refuse(falcon.HTTP_429, f"{error}. Try again.", Retry_After="5")
        self._services.metrics.uploaded.inc(staged.size)
        return staged

    async def _noted(self, chunks: AsyncIterator[bytes], request_id: str) -> AsyncIterator[bytes]:
        """The chunks. It is noted now and then that they come: what is uploading is not abandoned."""
        noted = time.monotonic()
        async for chunk in chunks:
            if time.monotonic() >= noted + _NOTED_EVERY:
                with suppress(StoreUnavailableError):
                    await self._services.store.touch(request_id)
                noted = time.monotonic()
            yield chunk

    async def _attach(self, request: Request, staged: StagedObject) -> Request:
        """Give the data to the request, whose state may have changed while they came in."""
        current: Request | None = request
        while current is not None and current.status in _OPEN:
            changed = await self._services.store.transition(
                current.id,
                current.status,
                current.attempt,
                _OPEN[current.status],
                input=Upload(staged.name),
            )
            if changed is not None:
                if isinstance(current.input, Upload):
                    await self._services.staging.delete(current.input.name)
                return changed
            current = await self._services.store.get(request.id)
        await self._services.staging.delete(staged.name)
        refuse(falcon.HTTP_400, f"Request {request.id} is no longer waiting for data")


def _checksum(req: falcon.asgi.Request) -> str:
    """The MD5 sum that the client computed, in hex. Ends the call with 400 if it is missing, or none."""
    try:
        announced = announced_md5(req.get_header("x-checksum"), req.get_header("content-md5"))
    except ValueError:
        announced = None
    if announced is None:
        refuse(falcon.HTTP_400, "The header X-Checksum must hold the MD5 sum of the data in hex")
    return announced


async def _body(req: falcon.asgi.Request, limit: int) -> AsyncIterator[bytes]:
    """The body in chunks, at most `limit` bytes. Ends the call if it is larger, or stalls."""
    size = 0
    try:
        async for chunk in body(req, _CHUNK_TIME):
            size += len(chunk)
            if size > limit:
                refuse(falcon.HTTP_413, f"The upload is larger than {limit} bytes")
            yield chunk
    except StalledError as error:
        refuse(falcon.HTTP_400, str(error))
