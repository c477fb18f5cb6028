"""Metric store: what happened when, for usage statistics, after the requests themselves are gone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class RequestStatusChange:
    """A request entered a state. `timestamp` is in seconds since the epoch."""

    request_id: str
    user_id: str
    status: str
    timestamp: float
    host: str = ""
    type: str = "request_status_change"
    uuid: str = field(default_factory=lambda: str(uuid4()))


class MetricStore(ABC):
    """Keeps metrics until they are too old.

    Raises:
        ~polytope_server.runtime.unavailable.UnavailableError: By every method, when the store cannot be
            reached.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the store needs (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources; pending writes are finished first."""

    async def check(self) -> None:
        """Make sure that the store answers.

        Raises:
            ~polytope_server.runtime.unavailable.UnavailableError: It does not.
        """
        await self.find(since=math.inf)

    @abstractmethod
    async def add(self, *metrics: RequestStatusChange) -> None:
        """Store metrics.

        Args:
            metrics: What to store.
        """

    @abstractmethod
    async def find(
        self, *, since: float = 0.0, statuses: Collection[str] | None = None
    ) -> list[RequestStatusChange]:
        """Read metrics.

        Args:
            since: The earliest time, in seconds since the epoch.
            statuses: The states to read; None for all.

        Returns:
            The metrics, the oldest first.
        """

    @abstractmethod
    async def remove_old(self, before: float, limit: int) -> int:
        """Delete old metrics.

        Args:
            before: Delete those older than this time, in seconds since the epoch.
            limit: How many to delete at most.

        Returns:
            How many were deleted.
        """
