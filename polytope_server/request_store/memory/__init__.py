"""Requests in the memory of one process: for tests and for trying things out."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from polytope_server.request import Request, Status, check_transition
from polytope_server.request_store import (
    PAGE,
    PAGE_SIZE,
    Digest,
    DuplicateRequestError,
    Page,
    Removed,
    RequestStore,
    RequestSummary,
    Selection,
    without_secrets,
)
from polytope_server.request_store.memory.retention import MemoryRetention


class MemoryRequestStoreSettings(BaseModel):
    """This store has no keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MemoryRequestStore(MemoryRetention, RequestStore):
    """A dictionary. Atomic because nothing in a method awaits; copies go in and out, as with a real store."""

    Settings = MemoryRequestStoreSettings

    def __init__(
        self, settings: MemoryRequestStoreSettings, data: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(clock)
        self._order = itertools.count(1)
        self._leases: dict[str, tuple[str, float, int]] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do; the requests stay for as long as the object."""

    async def clock(self) -> float:
        return self._clock()

    async def add(self, request: Request) -> None:
        if request.id in self._requests:
            raise DuplicateRequestError(f"request {request.id} is stored already")
        self._requests[request.id] = copy.deepcopy(request)
        self._sequences[request.id] = next(self._order)

    async def get(self, request_id: str) -> Request | None:
        return copy.deepcopy(self._requests.get(request_id))

    def _select(self, condition: Callable[[Request], bool]) -> list[Request]:
        return [copy.deepcopy(request) for request in self._requests.values() if condition(request)]

    async def find(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        found = self._select(lambda request: _fits(request, user_id, statuses, collection))
        return found[:limit]

    def _selected(self, selection: Selection) -> list[tuple[int, Request]]:
        """The requests of a selection with their places, themselves and no copies."""
        until = math.inf if selection.until is None else selection.until
        placed = [(self._sequences[request.id], request) for request in self._requests.values()]
        return [
            (place, request)
            for place, request in placed
            if selection.after < place <= until
            and _fits(request, selection.user_id, selection.statuses, selection.collection)
        ]

    async def page(self, selection: Selection) -> Page:
        found = self._selected(selection)
        page, size = list[tuple[int, Request]](), 0
        for place, request in found[:PAGE]:
            page.append((place, copy.deepcopy(request)))
            size += request.text_size
            if size >= PAGE_SIZE:
                break
        rest = len(found) > len(page)
        return Page([request for _, request in page], page[-1][0] if rest else None)

    async def place(self, selection: Selection, newer: int = 0) -> int | None:
        found = self._selected(selection)
        return found[-1 - newer][0] if len(found) > newer else None

    async def count(
        self,
        *,
        user_id: str | None = None,
        collection: str | None = None,
        statuses: Collection[Status] | None = None,
        limit: int | None = None,
    ) -> int:
        found = (
            request for request in self._requests.values() if _fits(request, user_id, statuses, collection)
        )
        return sum(1 for _ in itertools.islice(found, limit))

    async def text_size(self, user_id: str, statuses: Collection[Status]) -> int:
        return sum(request.text_size for _, request in self._selected(Selection(user_id, statuses)))

    async def transition(
        self,
        request_id: str,
        expect: Status,
        attempt: int,
        to: Status,
        *,
        delay: float | None = None,
        **changes: Any,
    ) -> Request | None:
        check_transition(expect, to)
        request = self._requests.get(request_id)
        if request is None or request.status is not expect or request.attempt != attempt:
            return None
        if delay is not None:
            changes["not_before"] = self._clock() + delay
        return self._set(request, to, **without_secrets(to, changes))

    def _set(self, request: Request, to: Status, **changes: Any) -> Request:
        request.last_modified = self._clock()
        request.status = to
        request.status_history.setdefault(to, request.last_modified)
        for name, value in changes.items():
            setattr(request, name, value)
        return copy.deepcopy(request)

    async def promote(self, request_ids: Sequence[str], leader: str, term: int) -> set[str]:
        holder, _, current = self._leases.get("broker", ("", 0.0, 0))
        if (holder, current) != (leader, term):
            return set()
        return {request.id for request in self._take(request_ids, Status.WAITING, Status.QUEUED)}

    def _take(self, request_ids: Sequence[str], expect: Status, to: Status) -> list[Request]:
        found = (self._requests.get(request_id) for request_id in request_ids)
        return [self._set(request, to) for request in found if request and request.status is expect]

    async def claim(self, request_ids: Sequence[str], worker: str, lease: float) -> list[Request]:
        claimed = []
        for request in self._take(request_ids, Status.QUEUED, Status.PROCESSING):
            until = self._clock() + lease
            stored = self._requests[request.id]
            claimed.append(
                self._set(
                    stored, Status.PROCESSING, attempt=request.attempt + 1, worker=worker, lease_until=until
                )
            )
        return claimed

    async def renew(self, claims: Collection[tuple[str, int]], worker: str, lease: float) -> set[str]:
        held = set()
        for request_id, attempt in claims:
            request = self._requests.get(request_id)
            if request is None or request.status is not Status.PROCESSING:
                continue
            if (request.attempt, request.worker) == (attempt, worker):
                request.lease_until = self._clock() + lease
                held.add(request_id)
        return held

    async def expired(self, limit: int) -> list[Request]:
        return sorted(self._select(self._has_expired), key=lambda request: request.lease_until)[:limit]

    def _has_expired(self, request: Request) -> bool:
        return request.status is Status.PROCESSING and request.lease_until < self._clock()

    async def expire(
        self, request_id: str, attempt: int, to: Status, *, delay: float | None = None, **changes: Any
    ) -> Request | None:
        request = self._requests.get(request_id)
        if request is None or not self._has_expired(request):
            return None
        return await self.transition(request_id, Status.PROCESSING, attempt, to, delay=delay, **changes)

    async def summaries(
        self, statuses: Collection[Status], request_ids: Sequence[str]
    ) -> list[RequestSummary]:
        wanted = set(request_ids)
        return [summary for summary in self._summaries(statuses) if summary.id in wanted]

    async def active(self, after: int, limit: int) -> list[RequestSummary]:
        found = self._summaries((Status.QUEUED, Status.PROCESSING))
        return [summary for summary in found if summary.sequence > after][:limit]

    async def waiting(self, after: int, until: int | None, limit: int) -> list[RequestSummary]:
        return [
            summary
            for summary in self._summaries((Status.WAITING,))
            if summary.sequence > after and (until is None or summary.sequence <= until)
        ][:limit]

    async def digest(self, after: int, until: int, limit: int) -> Digest:
        return Digest.of([summary.sequence for summary in await self.waiting(after, until, limit)])

    def _summaries(self, statuses: Collection[Status]) -> list[RequestSummary]:
        return [
            RequestSummary(
                id=request.id,
                collection=request.collection,
                user_id=request.user.id,
                realm=request.user.realm,
                roles=request.user.roles,
                status=request.status,
                attempt=request.attempt,
                not_before=request.not_before,
                datasource=request.datasource,
                sequence=self._sequences[request.id],
            )
            for request in self._requests.values()
            if request.status in statuses
        ]

    async def remove(
        self, request_id: str, *, user_id: str | None = None, statuses: Collection[Status] | None = None
    ) -> Request | None:
        request = self._requests.get(request_id)
        if request is None or not _fits(request, user_id, statuses):
            return None
        del self._sequences[request_id]
        return self._requests.pop(request_id)

    async def remove_page(self, selection: Selection) -> tuple[list[Removed], int | None]:
        found = self._selected(selection)
        page = found[:PAGE]
        for _, request in page:
            del self._requests[request.id], self._sequences[request.id]
        removed = [Removed(one.id, one.collection, one.status, one.staged) for _, one in page]
        return removed, page[-1][0] if len(found) > len(page) else None

    async def lead(self, name: str, holder: str, seconds: float) -> int | None:
        now = self._clock()
        current, until, term = self._leases.get(name, ("", 0.0, 0))
        if current != holder and until >= now:
            return None
        term += current != holder
        self._leases[name] = (holder, now + seconds, term)
        return term

    async def resign(self, name: str, holder: str) -> None:
        current, _, term = self._leases.get(name, ("", 0.0, 0))
        if current == holder:
            self._leases[name] = ("", 0.0, term)


def _fits(
    request: Request,
    user_id: str | None,
    statuses: Collection[Status] | None,
    collection: str | None = None,
) -> bool:
    return (
        (user_id is None or request.user.id == user_id)
        and (statuses is None or request.status in statuses)
        and (collection is None or request.collection == collection)
    )
