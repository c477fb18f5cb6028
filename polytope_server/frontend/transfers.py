"""How many downloads and uploads a frontend process has at a time: of a user, of all, to one request.

A download asks for no credentials, so it counts for the user whose result it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from cachetools import LRUCache

from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.http.connections import network
from polytope_server.request import Request
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.settings.connections import TransfersSettings

logger = logging.getLogger(__name__)

#: A download of this many bytes does not count: it leaves with its head, into the buffers of the system.
SMALL = 64 << 10
#: The last quarter of all transfers, less what `per-user` takes of it, is for owners with fewer than this.
_FEW = 4
#: Owners that are remembered, and seconds that the store has to name one.
_OWNERS, _OWNER_TIME = 4096, 2.0
#: Stands for all transfers, and all users, where there are names of them otherwise.
_ALL = ("all", "")

#: To be called when a transfer has ended, however it ended.
Release = Callable[[], None]


class Transfers:
    """Admits transfers, or refuses them as busy. What is admitted counts until it is released."""

    def __init__(self, settings: TransfersSettings, store: RequestStore) -> None:
        self._settings = settings
        self._store = store
        self._running: Counter[tuple[str, str]] = Counter()
        self._owners: LRUCache[str, str] = LRUCache(_OWNERS)

    async def admit_download(self, request_id: str, size: int, address: str) -> Release:
        """Count a download of this many bytes of that request's result, by a client at that address.

        Raises RefusedError.
        """
        if size <= SMALL:
            return _release_nothing
        owner = await self._find_owner(request_id)
        if owner is None:
            return self._count_transfer(("address", network(address)), "your address")
        return self._count_transfer(("user", owner), "the user whose result this is")

    def admit_upload(self, request: Request) -> Release:
        """Count an upload of that request's data. Raises RefusedError."""
        most = self._settings.uploads_per_request
        upload = ("upload", request.id)
        if self._running[upload] >= most:
            _refuse_transfer(
                f"There are {most} uploads of this request already, and the limit is {most} at a time"
            )
        return self._count_transfer(("user", request.user.id), "you", upload)

    def _count_transfer(self, owner: tuple[str, str], whom: str, *further: tuple[str, str]) -> Release:
        most = self._settings.per_user
        if self._running[owner] >= most:
            _refuse_transfer(
                f"This server sends and takes {most} results and uploads for {whom}, and that is the limit"
            )
        total, running = self._settings.total, self._running[_ALL]
        # So that a few owners cannot hold them all, for as long as they like.
        for_all = max(total - total // 4, most)
        if running >= total or (running >= for_all and self._running[owner] >= _FEW):
            _refuse_transfer("This server sends and takes as many results and uploads as it can")
        counted = (owner, _ALL, *further)
        self._running.update(counted)
        return partial(self._release_transfer, counted)

    def _release_transfer(self, counted: tuple[tuple[str, str], ...]) -> None:
        for what in counted:
            self._running[what] -= 1
            if not self._running[what]:
                del self._running[what]

    async def _find_owner(self, request_id: str) -> str | None:
        """The id of the user whose request it is; None if there is none any more, or the store is away."""
        known = self._owners.get(request_id)
        if known is not None:
            return known
        asking = asyncio.create_task(self._store.get(request_id))
        # Not wait_for(): a driver may swallow its cancellation.
        asking.add_done_callback(_ignore_error)
        await asyncio.wait([asking], timeout=_OWNER_TIME)
        if not asking.done():
            asking.cancel()
            return None
        try:
            found = asking.result()
        except StoreUnavailableError:
            return None
        if found is not None:
            self._owners[request_id] = found.user.id
        return found.user.id if found is not None else None


def _ignore_error(asking: asyncio.Task[Request | None]) -> None:
    """Take the error that came too late to matter, so that asyncio does not log it."""
    if not asking.cancelled():
        asking.exception()


def _release_nothing() -> None:
    """The release of a download that does not count."""


def _refuse_transfer(reason: str) -> NoReturn:
    logger.debug("%s", reason)
    raise RefusedError(Kind.BUSY, reason)
