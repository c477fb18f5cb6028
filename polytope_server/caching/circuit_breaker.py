"""A circuit breaker for cache servers: after a failure a server is skipped for a second, then probed once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from polytope_server.runtime import unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Seconds that one call may take.
TIMEOUT = 0.25
#: Seconds for which a server that failed is not called.
_PAUSE = 1.0


class CircuitBreaker:
    """Calls a server that may be down. While it is, the log says so once.

    Closed, it passes all calls on. A failure opens it: calls give None at once. A second later it is half
    open: one caller probes the server, which closes it or leaves it open, and no other waits for that.
    """

    def __init__(self, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`server` names the server in the log, without credentials."""
        self._server = server
        self._clock = clock
        #: None while the circuit is closed.
        self._next_probe: float | None = None

    async def call(self, function: Callable[[], Awaitable[T]]) -> T | None:
        """What `function` returns; None if it failed, took longer than 0.25 s, or was not called."""
        if not self._may_call():
            return None
        # A task that is left behind: a driver may swallow its cancellation, and must not delay the caller.
        task = asyncio.ensure_future(function())
        try:
            await asyncio.wait([task], timeout=TIMEOUT)
            if not task.done():
                raise TimeoutError
            result = task.result()
        except Exception as error:  # whatever a driver raises when its server is broken
            self._open(error)
            return None
        finally:
            task.cancel()
            task.add_done_callback(_retrieve_exception)
        self._close()
        return result

    def _may_call(self) -> bool:
        if self._next_probe is None:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        # This caller probes; those that come meanwhile do not wait for the result.
        self._next_probe = now + _PAUSE
        return True

    def _open(self, error: Exception) -> None:
        unavailable.failed("caching")
        if self._next_probe is None:
            reason = f"no answer in {TIMEOUT} s" if isinstance(error, TimeoutError) else str(error)
            logger.warning(
                "%s cannot be used, so nothing is cached or limited: %s",
                self._server,
                reason or type(error).__name__,
            )
        self._next_probe = self._clock() + _PAUSE

    def _close(self) -> None:
        if self._next_probe is not None:
            self._next_probe = None
            logger.info("%s can be used again", self._server)


def _retrieve_exception(task: asyncio.Future[T]) -> None:
    """So that asyncio does not log, as never retrieved, the exception of a call that was given up."""
    if not task.cancelled():
        task.exception()
