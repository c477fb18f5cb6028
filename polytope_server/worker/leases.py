"""The leases of a worker: claimed, renewed, and given up only when the store says that they are lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from polytope_server.back_off import BackOff
from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore, StoreUnavailableError, UnknownStateError

logger = logging.getLogger(__name__)

#: Seconds before a call that failed is repeated.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0

#: A request and the number of an attempt.
Claim = tuple[str, int]


class Leases:
    """Claims of one worker, whose name no other has ever had.

    A claim that was made without an answer is recognised: the request is in processing under that name, at an
    attempt of which this worker knows nothing.
    """

    def __init__(
        self,
        store: RequestStore,
        worker: str,
        seconds: float,
        *,
        running: Callable[[], set[Claim]],
        lost: Callable[[Claim], None],
        given_back: Callable[[str], None],
    ) -> None:
        """`running` returns what this worker works on; `lost` is called with what it must stop.

        `given_back` is called with the id of a request that was claimed without an answer, and is queued
        again.
        """
        self._store = store
        self._worker = worker
        self._seconds = seconds
        self._running = running
        self._lost = lost
        self._given_back = given_back
        #: Requests that may have been claimed for this worker, and that it tries to claim no more.
        self._uncertain: set[str] = set()

    async def claim(self, request_id: str) -> Request | None:
        """Claim a request; None if it is gone, or another's.

        While the store cannot be reached this tries again, for the time of one lease. Then it raises
        StoreUnavailableError, and what may have been claimed is given back as soon as that can be.
        """
        give_up = time.monotonic() + self._seconds
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        uncertain = request_id in self._uncertain
        self._uncertain.discard(request_id)
        while True:
            try:
                if claimed := await self._store.claim([request_id], self._worker, self._seconds):
                    return claimed[0]
                return await self._claimed_before(request_id) if uncertain else None
            except StoreUnavailableError as error:
                logger.warning("cannot claim: %s", error)
                uncertain = True
                pause = back_off.failed()
                if time.monotonic() + pause > give_up:
                    self._uncertain.add(request_id)
                    raise
            await asyncio.sleep(pause)

    async def _claimed_before(self, request_id: str) -> Request | None:
        """The request, if the store has claimed it for this worker and had no time to say so."""
        try:
            found = await self._store.get(request_id)
        except UnknownStateError:
            found = None
        ours = found is not None and self._holds(found) and (found.id, found.attempt) not in self._running()
        return found if ours else None

    def _holds(self, request: Request) -> bool:
        return request.status is Status.PROCESSING and request.worker == self._worker

    async def keep(self) -> None:
        """Renew all leases three times within each; when that fails, again at once, and then less often."""
        interval = pause = self._seconds / 3
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            await asyncio.sleep(pause)
            try:
                await self._renew()
                await self._give_back_uncertain()
                back_off.succeeded()
                pause = interval
            except StoreUnavailableError as error:
                logger.warning("cannot renew leases: %s", error)
                pause = min(back_off.failed(), interval)

    async def _renew(self) -> None:
        claims = self._running()
        if not claims:
            return
        held = await self._store.renew(claims, self._worker, self._seconds)
        for claim in claims:
            if claim[0] not in held and claim in self._running() and await self._is_lost(claim):
                self._lost(claim)

    async def _is_lost(self, claim: Claim) -> bool:
        """Whether an attempt is this worker's no more: the work on it is not thrown away without asking."""
        try:
            found = await self._store.get(claim[0])
        except UnknownStateError:
            return True
        return found is None or not self._holds(found) or found.attempt != claim[1]

    async def _give_back_uncertain(self) -> None:
        """Give back what was claimed for this worker without an answer, and is still in its name."""
        for request_id in list(self._uncertain):
            found = await self._claimed_before(request_id)
            # Not if a further message has come meanwhile: then that claim goes on with it.
            if found is not None and request_id in self._uncertain:
                logger.info("request %s was claimed without an answer; giving it back", request_id)
                queued = await self._store.transition(
                    *(request_id, Status.PROCESSING, found.attempt, Status.QUEUED), worker="", lease_until=0.0
                )
                if queued is not None:
                    self._given_back(request_id)
            self._uncertain.discard(request_id)
