"""How a process is: whether its back-ends answer, asked seldom and never for long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from polytope_server.redaction import redactor
from polytope_server.runtime.unavailable import UnavailableError

logger = logging.getLogger(__name__)

#: Seconds that one back-end has for its answer, and for which what they said counts: probes may come often.
ANSWER_TIME, KEPT_TIME = 2.0, 1.0
_LONGEST_REASON = 200


class Check(NamedTuple):
    """A question to a back-end, which raises an exception unless it can be used.

    Without one that is not `needed` the process does its work, worse.
    """

    ask: Callable[[], Awaitable[object]]
    needed: bool = True


class State(NamedTuple):
    """What came of a check; `why` is empty if all is well."""

    needed: bool
    why: str


class Health:
    """The back-ends of one process, by role."""

    def __init__(self, checks: Mapping[str, Check], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._asking: dict[str, asyncio.Future[object]] = {}
        self._look: asyncio.Task[dict[str, State]] | None = None
        self._kept_until = 0.0
        self._told = True
        #: Whether the process has opened its back-ends and begun its work.
        self.started = False

    async def states(self) -> dict[str, State]:
        """How the back-ends are, or were a second ago. All are asked at the same time; never raises."""
        if self._look is None or (self._look.done() and self._clock() >= self._kept_until):
            self._look = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._look)

    def close(self) -> None:
        """Ask nobody any more."""
        for asking in self._asking.values():
            asking.cancel()
        if self._look is not None:
            self._look.cancel()

    async def _ask_all(self) -> dict[str, State]:
        reasons = await asyncio.gather(*(self._ask(role, check) for role, check in self._checks.items()))
        self._kept_until = self._clock() + KEPT_TIME
        pairs = zip(self._checks.items(), reasons, strict=True)
        states = {role: State(check.needed, why) for (role, check), why in pairs}
        self._tell({role: why for role, (needed, why) in states.items() if needed and why})
        return states

    async def _ask(self, role: str, check: Check) -> str:
        """What is wrong with a back-end; empty if nothing is."""
        asking = self._asking.get(role)
        if asking is None or asking.done():
            asking = self._asking[role] = asyncio.ensure_future(check.ask())
            asking.add_done_callback(_forget)
        # Not wait_for(): a driver may swallow its cancellation. Then nothing new is asked until it ends.
        await asyncio.wait([asking], timeout=ANSWER_TIME)
        if not asking.done():
            asking.cancel()
        if not asking.done() or asking.cancelled():
            return f"no answer in {ANSWER_TIME:g} s"
        error = asking.exception()
        return "" if error is None else self._explained(error)

    def _explained(self, error: BaseException) -> str:
        if isinstance(error, UnavailableError):
            return redactor.redact(str(error)).partition("\n")[0][:_LONGEST_REASON] or type(error).__name__
        # What a driver says may hold anything; before the start it is about what is not there yet.
        return type(error).__name__ if self.started else "not connected yet"

    def _tell(self, wrong: Mapping[str, str]) -> None:
        """Log when back-ends that are needed begin to fail, and when all of them are back."""
        if self.started and bool(wrong) is self._told:
            self._told = not wrong
            if wrong:
                logger.warning("not ready: %s", "; ".join(f"{role}: {why}" for role, why in wrong.items()))
            else:
                logger.info("ready again")


def _forget(asked: asyncio.Future[object]) -> None:
    """Take note of the outcome, so that nobody is told of an error that came too late to matter."""
    if not asked.cancelled():
        asked.exception()
