"""A circuit breaker for cache servers: after a failure the server is skipped for a second, then probed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from polytope_server.runtime import unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Seconds that one question may take.
TIMEOUT = 0.25
#: Seconds for which a server that failed is not asked.
_PAUSE = 1.0


class CircuitBreaker:
    """Asks a server that may be down. A second after a failure, one caller probes it."""

    def __init__(self, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`server` names the server in the log, without credentials."""
        self._server = server
        self._clock = clock
        self._probe_at: float | None = None

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """What `question` returns; None if it failed, took longer than 0.25 s, or was not asked."""
        if not self._may_ask():
            return None
        # A task that is left behind: a driver may swallow its cancellation, and must not hold up the caller.
        asking = asyncio.ensure_future(question())
        try:
            await asyncio.wait([asking], timeout=TIMEOUT)
            if not asking.done():
                raise TimeoutError
            answer = asking.result()
        except Exception as error:  # whatever a driver makes of a server that is broken
            self._note_failure(error)
            return None
        finally:
            asking.cancel()
            asking.add_done_callback(_ignore_outcome)
        self._note_success()
        return answer

    def _may_ask(self) -> bool:
        if self._probe_at is None:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        # This caller tries, and the others do not wait for what comes of it.
        self._probe_at = now + _PAUSE
        return True

    def _note_failure(self, error: Exception) -> None:
        unavailable.failed("caching")
        if self._probe_at is None:
            reason = f"no answer in {TIMEOUT} s" if isinstance(error, TimeoutError) else str(error)
            logger.warning(
                "%s cannot be used, so nothing is cached or limited: %s",
                self._server,
                reason or type(error).__name__,
            )
        self._probe_at = self._clock() + _PAUSE

    def _note_success(self) -> None:
        if self._probe_at is not None:
            self._probe_at = None
            logger.info("%s can be used again", self._server)


def _ignore_outcome(asked: asyncio.Future[T]) -> None:
    """Take note of what came of a question, so that an error that does not matter is not logged."""
    if not asked.cancelled():
        asked.exception()
