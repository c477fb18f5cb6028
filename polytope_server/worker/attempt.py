"""One attempt: a child process fetches (or archives) the data of a request, the result goes into staging."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping

from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.datasource import DataSourceError, Job, TemporaryError, WornOutError, factory
from polytope_server.datasource.inputs import open_input
from polytope_server.request import Request, Verb
from polytope_server.retry import after_failure, after_outage
from polytope_server.secrets.sealing import Seals, UnsealableError
from polytope_server.settings.processes import WorkerSettings
from polytope_server.staging import (
    LargestObjectError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StagedObject,
    Staging,
    StagingUnavailableError,
)
from polytope_server.staging.names import new_object_name
from polytope_server.worker import memory
from polytope_server.worker.assignment import Assignment
from polytope_server.worker.children import Child, Slot
from polytope_server.worker.outcome import Outcome
from polytope_server.worker.report import Report

logger = logging.getLogger(__name__)

#: Bytes of a result from which on it is worth a call to ask whether there is room.
_LARGE = 64 << 20


class Attempts:
    """Makes attempts, and says what came of them.

    `seals` opens what users of some data sources have given, None if none needs that. `now` is the time of
    the store, in seconds since the epoch.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        collections: Mapping[str, Collection],
        seals: Seals | None,
        staging: Staging,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._collections = collections
        self._seals = seals
        self._staging = staging
        self._now = now

    async def run(self, request: Request, slot: Slot, report: Report) -> Outcome:
        """Try a request once, with a child process of `slot`."""
        try:
            source = self._source(request)
            async with asyncio.timeout(self._settings.timeout):
                result = await self._make_result_anywhere(request, source, slot, report)
                return Outcome.succeeded(result, report.notes)
        except DataSourceError as error:
            return Outcome.failed(str(error))
        except TimeoutError:
            return self.failed(request, f"It took longer than {self._settings.timeout:g} seconds.")
        except TemporaryError as error:
            return self.failed(request, str(error))
        except StagingUnavailableError as error:
            logger.warning("attempt %d: %s", request.attempt, error)
            return Outcome(*after_outage(request, self._settings, self._now()))

    def failed(self, request: Request, reason: str) -> Outcome:
        """The outcome of an attempt that failed, while another may succeed."""
        logger.warning("attempt %d failed: %s", request.attempt, reason)
        source = self._find_source(request)
        max_attempts = source.keys.get("max_attempts") if source else None
        return Outcome(*after_failure(request, reason, self._settings, max_attempts))

    def _find_source(self, request: Request) -> DataSourceConfig | None:
        collection = self._collections.get(request.collection)
        return collection.datasource(request.datasource) if collection else None

    def _source(self, request: Request) -> DataSourceConfig:
        """The data source that the broker has chosen. Raises DataSourceError if it is configured no more."""
        source = self._find_source(request)
        if source is None:
            raise DataSourceError("The data source of this request is no longer available.")
        return source

    async def _make_result_anywhere(
        self, request: Request, source: DataSourceConfig, slot: Slot, report: Report
    ) -> StagedObject | None:
        """As :meth:`_make_result`, with further children after those that are worn out: all may be."""
        for _ in range(self._settings.concurrency + 1):
            try:
                return await self._make_result(request, source, await slot.take(), report)
            except WornOutError:
                continue
        raise TemporaryError("The data source cannot be used at the moment.")

    async def _make_result(
        self, request: Request, source: DataSourceConfig, child: Child, report: Report
    ) -> StagedObject | None:
        """Fetch (or archive) the data; returns the staged result, None for an archive.

        Raises DataSourceError if the request cannot be served, TemporaryError if it may be another time,
        WornOutError if it may by another child, StagingUnavailableError.
        """
        assignment = self._assignment(request, source)
        if request.verb is Verb.ARCHIVE:
            if request.input is None:
                raise DataSourceError("The request has no input.")
            settings = self._settings
            data = open_input(request.input, self._staging, settings.input_hosts, settings.max_input)
            try:
                _, answer = await child.run(assignment, data, report)
            except ObjectNotFoundError as error:
                raise DataSourceError("The uploaded data are no longer there.") from error
            async for _ in answer:
                pass
            return None
        content_type, chunks = await child.run(assignment, report=report)
        if limit := source.keys.get("max_result", self._settings.max_result):
            _check_size(child.announced or 0, limit)
            chunks = _bounded(chunks, limit)
        return await self._stage_result(request, content_type, chunks, child.announced or 0)

    def _assignment(self, request: Request, source: DataSourceConfig) -> Assignment:
        """What the child is given to do. Raises DataSourceError."""
        job = Job(
            request_id=request.id,
            verb=request.verb,
            user_request=request.user_request,
            coerced_request=request.coerced_request,
            username=request.user.username,
            realm=request.user.realm,
            attributes=self._open_attributes(request, source),
            via=request.via,
        )
        max_memory = memory.allowed(source.keys.get("max_memory", memory.DEFAULT))
        return Assignment(request.collection, source.name, max_memory, job)

    async def _stage_result(
        self, request: Request, content_type: str, chunks: AsyncIterator[bytes], announced: int
    ) -> StagedObject:
        name = new_object_name(request.id, content_type)
        try:
            if announced >= _LARGE:
                await self._staging.admit(announced)
            return await self._staging.create(name, chunks, content_type)
        except ObjectTooLargeError as error:
            raise DataSourceError(f"The result {error}.") from error
        except LargestObjectError as error:
            # Counted as a failure, unlike other outages: else it could fill the disk again and again.
            logger.warning("%s", error)
            raise TemporaryError("There was no room for the result, the largest that was written.") from error

    def _open_attributes(self, request: Request, source: DataSourceConfig) -> dict[str, str]:
        """Those of the user's attributes that the data source needs."""
        needed = factory.user_attributes(source)
        if not needed or self._seals is None:
            return {}
        try:
            found = self._seals.open(request.sealed, request.id)
        except UnsealableError as error:
            logger.error("the secrets of the user cannot be opened: %s", error)
            raise DataSourceError("The server cannot read your key any more. Please submit again.") from None
        return {name: value for name, value in found.items() if name in needed}


async def _bounded(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The chunks, at most `limit` bytes. Raises DataSourceError when there are more."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(size, limit)
        yield chunk


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise DataSourceError(f"The result has {size} bytes or more; at most {limit} are allowed.")
