"""The garbage collector's part of the request store in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from polytope_server.request import TERMINAL, Request, Status
from polytope_server.request_store.retention import Retention, Summary, Tombstone, Usage


class MemoryRetention(Retention):
    """Requests and tombstones in dictionaries."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests: dict[str, Request] = {}
        #: The place of each in the order of submission.
        self._sequences: dict[str, int] = {}
        self._downloaded: set[str] = set()
        #: By id, in the order of removal: the user, and the tombstone.
        self._tombstones: dict[str, tuple[str, Tombstone]] = {}

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        return {request_id for request_id in request_ids if request_id in self._requests}

    async def results(self, request_ids: Collection[str]) -> dict[str, str]:
        found = (self._requests.get(request_id) for request_id in request_ids)
        return {request.id: request.staged for request in found if request and request.status in TERMINAL}

    async def stale(self, status: Status, age: float, limit: int) -> list[Summary]:
        before = self._clock() - age
        found = [
            request
            for request in self._requests.values()
            if request.status is status and request.last_modified < before
        ]
        return _oldest(found, limit)

    async def touch(self, request_id: str) -> None:
        request = self._requests.get(request_id)
        if request is not None and request.status is Status.UPLOADING:
            request.last_modified = self._clock()

    async def mark_downloaded(self, request_ids: Collection[str]) -> None:
        self._downloaded = self._requests.keys() & {*self._downloaded, *request_ids}

    async def usage(self, limit: int) -> list[Usage]:
        sizes = Counter[str]()
        for request in self._requests.values():
            if request.status is Status.PROCESSED:
                sizes[request.user.id] += request.content_length or 0
        return [Usage(*pair) for pair in sizes.most_common(limit)]

    async def removable(self, user_id: str, age: float, limit: int) -> list[Summary]:
        before = self._clock() - age
        found = [
            request
            for request in self._requests.values()
            if (request.user.id, request.status) == (user_id, Status.PROCESSED)
            and (request.last_modified < before or request.id in self._downloaded)
        ]
        return _oldest(found, limit)

    async def bury(self, request_ids: Collection[str], status: Status, reason: str) -> set[str]:
        found = (self._requests.get(request_id) for request_id in request_ids)
        chosen = [request for request in found if request and request.status is status]
        for request in chosen:
            del self._requests[request.id]
            self._tombstones[request.id] = request.user.id, Tombstone(self._clock(), reason)
        return {request.id for request in chosen}

    async def tombstone(self, request_id: str, user_id: str) -> Tombstone | None:
        owner, tombstone = self._tombstones.get(request_id, ("", None))
        return tombstone if owner == user_id else None

    async def trim_tombstones(self, user_id: str, most: int) -> int:
        own = [request_id for request_id, (owner, _) in self._tombstones.items() if owner == user_id]
        return self._forget(own[: max(0, len(own) - most)])

    async def remove_tombstones(self, age: float, limit: int) -> int:
        before = self._clock() - age
        old = [name for name, (_, found) in self._tombstones.items() if found.removed_at < before]
        return self._forget(old[:limit])

    def _forget(self, request_ids: list[str]) -> int:
        for request_id in request_ids:
            del self._tombstones[request_id]
        return len(request_ids)


def _oldest(requests: list[Request], limit: int) -> list[Summary]:
    requests.sort(key=lambda request: request.last_modified)
    return [
        Summary(request.id, request.user.id, request.content_length or 0, request.last_modified)
        for request in requests[:limit]
    ]
