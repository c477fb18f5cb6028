"""What a worker works on: its claims, the tasks that work on them, and how far these are."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto

from polytope_server.worker.leases import Claim

logger = logging.getLogger(__name__)


class _Stage(Enum):
    WORKING = auto()
    #: The outcome is on its way into the store, or there already.
    ENDING = auto()
    #: The request is no longer this worker's; the task was cancelled.
    LOST = auto()


@dataclass
class _Work:
    claim: Claim
    task: asyncio.Task[None]
    stage: _Stage = _Stage.WORKING


class Claims:
    """The claims of one worker, at most one for each request."""

    def __init__(self) -> None:
        self._work: dict[str, _Work] = {}

    def __len__(self) -> int:
        return len(self._work)

    def __contains__(self, claim: Claim) -> bool:
        return self._find(claim) is not None

    def all(self) -> set[Claim]:
        """The claims that this worker works on."""
        return {work.claim for work in self._work.values()}

    def begin(self, claim: Claim, task: asyncio.Task[None]) -> None:
        """`task` works on a claim from now on."""
        self._work[claim[0]] = _Work(claim, task)

    def end(self, claim: Claim) -> None:
        """The work on a claim is over. A further attempt at its request may have begun here meanwhile."""
        if claim in self:
            del self._work[claim[0]]

    def mark_ending(self, claim: Claim) -> None:
        """From now on :meth:`abort` does not cancel the work, which is about to give its child back."""
        if (work := self._find(claim)) is not None:
            work.stage = _Stage.ENDING

    def is_working(self, claim: Claim) -> bool:
        """Whether this worker works on a claim, which is not lost, and has not come to an outcome."""
        work = self._find(claim)
        return work is not None and work.stage is _Stage.WORKING

    def is_lost(self, claim: Claim) -> bool:
        """Whether the work on a claim was cancelled because the request is no longer this worker's."""
        work = self._find(claim)
        return work is None or work.stage is _Stage.LOST

    def abort(self, request_id: str) -> None:
        """Cancel the work on a request that is no longer this worker's, unless it ends by itself."""
        work = self._work.get(request_id)
        if work is not None and work.stage is _Stage.WORKING:
            logger.info("request %s is no longer this worker's; stopping", request_id)
            work.stage = _Stage.LOST
            work.task.cancel()

    def _find(self, claim: Claim) -> _Work | None:
        work = self._work.get(claim[0])
        return work if work is not None and work.claim == claim else None
