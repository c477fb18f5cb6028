"""Uploads: the data of archive requests."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NoReturn

from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.refusals import FailedRequestError, Kind, RefusedError
from polytope_server.media_types import OCTET_STREAM
from polytope_server.notices import Notices, Topic
from polytope_server.request import Request, Status, Upload, Verb
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.staging import (
    ObjectTooLargeError,
    StagedObject,
    Staging,
    StagingFullError,
)
from polytope_server.staging.names import new_object_name

logger = logging.getLogger(__name__)

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


class Uploads:
    """Takes the data of archive requests, and lets these wait for a worker."""

    def __init__(
        self,
        store: RequestStore,
        staging: Staging,
        notices: Notices,
        metrics: FrontendMetrics,
        largest: int,
    ) -> None:
        """`largest` is the most bytes that an upload may have."""
        self._store = store
        self._staging = staging
        self._notices = notices
        self._metrics = metrics
        self._largest = largest

    def is_needed(self, request: Request) -> bool:
        """Whether the request may get data; False if it has been processed with some.

        Raises RefusedError, and FailedRequestError if it failed.
        """
        uploaded = request.status is Status.UPLOADING or isinstance(request.input, Upload)
        if request.verb is not Verb.ARCHIVE or not uploaded:
            _refuse_upload(f"Request {request.id} is not an upload")
        if request.status is Status.PROCESSED:
            return False
        if request.status is Status.FAILED:
            raise FailedRequestError(request)
        if request.status not in _OPEN:
            _refuse_upload(f"Request {request.id} is being processed, its data cannot be replaced")
        return True

    async def take(self, request: Request, data: AsyncIterator[bytes], size: int, md5: str) -> Request:
        """Stage the data of a request that needs some; the request as it is then.

        `size` is the announced number of bytes, 0 if unknown; `md5` the sum that the client computed.
        Raises RefusedError, ChecksumError if the sum differs, and TooSlowError if other uploads need the
        memory.
        """
        staged = await self._stage_data(request, data, size, md5)
        changed = await self._attach_data(request, staged)
        self._notices.publish(Topic.WAITING, request.id)
        return changed

    async def _stage_data(
        self, request: Request, data: AsyncIterator[bytes], size: int, md5: str
    ) -> StagedObject:
        if size > self._largest:
            self._refuse_size()
        # What the data are is for the data source to find out.
        name = new_object_name(request.id, OCTET_STREAM)
        chunks = noting_progress(self._store, request.id, self._bound_size(data))
        try:
            if size >= _LARGE:
                await self._staging.admit(size)
            staged = await self._staging.create(name, chunks, OCTET_STREAM, md5)
        except ObjectTooLargeError as error:
            raise RefusedError(Kind.TOO_LARGE, f"The upload {error}") from None
        except StagingFullError as error:
            logger.error("%s", error)
            reason = "There is no room for the upload at the moment. Please try again later"
            raise RefusedError(Kind.NO_ROOM, reason) from None
        self._metrics.uploaded.inc(staged.size)
        return staged

    async def _bound_size(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in data:
            size += len(chunk)
            if size > self._largest:
                self._refuse_size()
            yield chunk

    def _refuse_size(self) -> NoReturn:
        raise RefusedError(Kind.TOO_LARGE, f"The upload is larger than {self._largest} bytes")

    async def _attach_data(self, request: Request, staged: StagedObject) -> Request:
        """Give the data to the request, whose state may have changed while they came in."""
        current: Request | None = request
        while current is not None and current.status in _OPEN:
            changed = await self._store.transition(
                current.id,
                current.status,
                current.attempt,
                _OPEN[current.status],
                input=Upload(staged.name),
            )
            if changed is not None:
                if isinstance(current.input, Upload):
                    await self._staging.delete(current.input.name)
                return changed
            current = await self._store.get(request.id)
        await self._staging.delete(staged.name)
        _refuse_upload(f"Request {request.id} is no longer waiting for data")


async def noting_progress(
    store: RequestStore, request_id: str, data: AsyncIterator[bytes], interval: float = _NOTED_EVERY
) -> AsyncIterator[bytes]:
    """The data. The store notes each `interval` seconds that they come: the upload is not abandoned."""
    noted = time.monotonic()
    async for chunk in data:
        if time.monotonic() >= noted + interval:
            with suppress(StoreUnavailableError):
                await store.touch(request_id)
            noted = time.monotonic()
        yield chunk


def _refuse_upload(reason: str) -> NoReturn:
    raise RefusedError(Kind.INVALID, reason)
