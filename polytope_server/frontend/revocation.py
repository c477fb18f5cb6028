"""Revocations: users remove their requests."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.notices import Notices, Topic
from polytope_server.request import LIVE, Status
from polytope_server.request_store import Removed, RequestStore
from polytope_server.staging import Staging, StagingUnavailableError
from polytope_server.staging.names import is_request_id
from polytope_server.user import User

logger = logging.getLogger(__name__)


class Revocations:
    """Removes requests of users, ends the work for them, and deletes what they have staged."""

    def __init__(
        self, store: RequestStore, notices: Notices, staging: Staging, metrics: FrontendMetrics
    ) -> None:
        self._store = store
        self._notices = notices
        self._staging = staging
        self._metrics = metrics

    async def revoke(self, user: User, request_id: str) -> int:
        """Remove the user's request of that id, whatever its state; 1 if there was one, else 0."""
        return await self._clean_up_all(user, self._remove_request(user, request_id))

    async def revoke_all(self, user: User) -> int:
        """Remove all requests of the user that have not ended; how many there were."""
        return await self._clean_up_all(user, self._store.remove_all(user.id, LIVE))

    async def _remove_request(self, user: User, request_id: str) -> AsyncIterator[list[Removed]]:
        if is_request_id(request_id) and (found := await self._store.remove(request_id, user_id=user.id)):
            yield [Removed(found.id, found.collection, found.status, found.staged)]

    async def _clean_up_all(self, user: User, parts: AsyncIterator[list[Removed]]) -> int:
        number = 0
        async for removed in parts:
            await self._clean_up_part(removed)
            number += len(removed)
        logger.info("%s revoked %d requests", user.username, number)
        return number

    async def _clean_up_part(self, removed: list[Removed]) -> None:
        """Notify polls of these requests and workers on them, and delete what the requests have staged."""
        self._notices.publish(Topic.REMOVED, *(request.id for request in removed))
        self._metrics.revoked(removed)
        for request in removed:
            if request.staged or request.status is Status.PROCESSING:
                # If the staging cannot be reached, the garbage collector finds it.
                with suppress(StagingUnavailableError):
                    await self._staging.delete_request(request.id)
