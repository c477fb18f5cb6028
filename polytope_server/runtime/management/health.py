"""The health of a process: whether its back-ends answer, checked seldom and with a time limit."""

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

    Without one that is not `needed` the process still works, but worse.
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
        self._round: asyncio.Task[dict[str, State]] | None = None
        self._round_counts_until = 0.0
        self._logged_ready = True
        #: Whether the process has opened its back-ends and begun its work.
        self.started = False

    async def states(self) -> dict[str, State]:
        """How the back-ends are, or were a second ago. All are asked at the same time; never raises."""
        if self._round is None or (self._round.done() and self._clock() >= self._round_counts_until):
            self._round = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._round)

    def close(self) -> None:
        """End the checks that are running."""
        for asking in self._asking.values():
            asking.cancel()
        if self._round is not None:
            self._round.cancel()

    async def _ask_all(self) -> dict[str, State]:
        reasons = await asyncio.gather(
            *(self._ask_backend(role, check) for role, check in self._checks.items())
        )
        self._round_counts_until = self._clock() + KEPT_TIME
        pairs = zip(self._checks.items(), reasons, strict=True)
        states = {role: State(check.needed, why) for (role, check), why in pairs}
        self._log_change({role: why for role, (needed, why) in states.items() if needed and why})
        return states

    async def _ask_backend(self, role: str, check: Check) -> str:
        """What is wrong with a back-end; empty if nothing is."""
        asking = self._asking.get(role)
        if asking is None or asking.done():
            asking = self._asking[role] = asyncio.ensure_future(check.ask())
            asking.add_done_callback(_retrieve_outcome)
        # Not wait_for(): a driver may swallow its cancellation. Then nothing new is asked until it ends.
        await asyncio.wait([asking], timeout=ANSWER_TIME)
        if not asking.done():
            asking.cancel()
        if not asking.done() or asking.cancelled():
            return f"no answer in {ANSWER_TIME:g} s"
        error = asking.exception()
        return "" if error is None else self._explain_error(error)

    def _explain_error(self, error: BaseException) -> str:
        if isinstance(error, UnavailableError):
            return redactor.redact(str(error)).partition("\n")[0][:_LONGEST_REASON] or type(error).__name__
        # Errors of a driver may contain anything; before the start they are expected.
        return type(error).__name__ if self.started else "not connected yet"

    def _log_change(self, wrong: Mapping[str, str]) -> None:
        """Log when back-ends that are needed begin to fail, and when all of them are back."""
        if self.started and bool(wrong) is self._logged_ready:
            self._logged_ready = not wrong
            if wrong:
                logger.warning("not ready: %s", "; ".join(f"{role}: {why}" for role, why in wrong.items()))
            else:
                logger.info("ready again")


def _retrieve_outcome(asked: asyncio.Future[object]) -> None:
    """Retrieve the outcome, so that asyncio does not log an error that came too late to matter."""
    if not asked.cancelled():
        asked.exception()
