"""Admission limits: calls per second, requests that have not ended, and their texts.

Calls are counted in the cache, so that all frontends count together; while it is down no call is refused.
The requests are counted in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import NoReturn
from weakref import WeakValueDictionary

from cachetools import LRUCache

from polytope_server.caching import Cache
from polytope_server.caching.window import SlidingWindow
from polytope_server.frontend.budget import Budget, UsedUpError
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.request import LIVE, Request
from polytope_server.request_store import RequestStore
from polytope_server.settings.frontend import DoorLimitsSettings
from polytope_server.user import User

logger = logging.getLogger(__name__)

#: Up to this many live requests of all users are counted for each new one; beyond, a count costs more.
_COUNTED_EACH_TIME = 1000
#: The most users whose texts are counted at a time.
_USERS = 10_000


@dataclass(frozen=True, slots=True)
class CallRate:
    """The calls that a user may make: `limit` in `window` seconds.

    `remaining` are left, and all of them again in `reset` seconds.
    """

    limit: int
    window: float
    remaining: float
    reset: float


class TooManyCallsError(RefusedError):
    """The user makes too many calls."""

    def __init__(self, reason: str, rate: CallRate) -> None:
        super().__init__(Kind.TOO_MANY, reason, rate.reset)
        self.rate = rate


class AdmissionLimits:
    """Admits calls and requests, or refuses them as too many."""

    def __init__(self, settings: DoorLimitsSettings, cache: Cache, store: RequestStore) -> None:
        self._settings = settings
        self._store = store
        self._submitting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._all = None if settings.total is None else self._make_total_budget(settings.total)
        self._texts: LRUCache[str, Budget] = LRUCache(_USERS)
        self._window: SlidingWindow | None = None
        if settings.calls_per_second is not None:
            # A number of calls in this time is the same as an average and a burst.
            self._seconds = settings.calls_at_once / settings.calls_per_second
            self._window = SlidingWindow(cache, "calls", self._seconds)

    @property
    def counts_calls(self) -> bool:
        """Whether there is a limit of calls."""
        return self._window is not None

    def described(self) -> dict[str, str]:
        """The limits by the names that users see."""
        settings = self._settings
        found = {
            "limit of live requests": settings.per_user,
            "limit of live requests of all users": settings.total,
            "limit of calls": self._describe_rate() if self.counts_calls else None,
        }
        return {name: str(value) for name, value in found.items() if value is not None}

    async def admit_call(self, user: User) -> CallRate | None:
        """Count a call; what is left to the user, None where calls have no limit or cannot be counted.

        Raises TooManyCallsError.
        """
        if self._window is None:
            return None
        count = await self._window.add(user.id)
        if count is None:
            return None
        most = self._settings.calls_at_once
        if count.total <= most:
            return CallRate(most, self._seconds, most - count.total, count.reset)
        # A refused call does not count: otherwise a user who calls too often would never be admitted again.
        await self._window.add(user.id, -1)
        seconds = replace(count, current=count.current - 1).wait(most - 1) or 1.0
        logger.debug("too many calls of %s", user.username)
        raise TooManyCallsError(
            f"Too many calls: the limit of a user is {self._describe_rate()}",
            CallRate(most, self._seconds, 0, seconds),
        )

    @asynccontextmanager
    async def admit_request(self, request: Request) -> AsyncIterator[None]:
        """The context in which a new request is stored. Raises RefusedError if that would exceed a limit.

        One process exceeds no limit. Several may: that of a user by as many as they take at the same moment,
        the others by what they take between two measurements (see :meth:`_make_total_budget` and
        :meth:`_find_text_budget`).
        """
        most = self._settings.per_user
        turn = nullcontext() if most is None else self._take_turn(request.user, most)
        texts = self._find_text_budget(request.user).reserve(request.text_size)
        place = nullcontext() if self._all is None else self._all.reserve(1)
        try:
            async with turn, texts, place:
                yield
        except UsedUpError as error:
            if error.budget is self._all:
                self._refuse_for_all(error.used)
            self._refuse_texts(request, error.used)

    @asynccontextmanager
    async def _take_turn(self, user: User, most: int) -> AsyncIterator[None]:
        """The context in which a user, who may have `most`, stores a request."""
        async with self._submitting.setdefault(user.id, asyncio.Lock()):
            await self._check_user(user, most)
            yield

    async def _check_user(self, user: User, most: int) -> None:
        live = await self._store.count(user_id=user.id, statuses=LIVE, limit=most)
        if live >= most:
            logger.info("%s has %d live requests, and gets no further one", user.username, live)
            _refuse_request(
                f"You have {live} requests that have not ended, and the limit is {most}. Wait until one has "
                "ended, or revoke one"
            )

    def _make_total_budget(self, most: int) -> Budget:
        """The requests of all users: up to a thousand are counted each time, more only now and then."""
        return Budget(
            most, lambda: self._store.count(statuses=LIVE, limit=most), lambda live: live / _COUNTED_EACH_TIME
        )

    def _refuse_for_all(self, live: int) -> NoReturn:
        most = self._settings.total
        logger.warning("there are %d live requests, so no further one is taken", live)
        _refuse_request(
            f"The server has {live} requests of all users that have not ended; the limit is {most}"
        )

    def _find_text_budget(self, user: User) -> Budget:
        """The texts of a user: measured when an eighth of what was left may have been used.

        A user whose texts are short is never measured; of eight processes none exceeds the limit.
        """
        most = self._settings.text_per_user
        budget = self._texts.get(user.id)
        if budget is None:
            budget = self._texts[user.id] = Budget(
                most,
                lambda: self._store.text_size(user.id, LIVE),
                lambda size: max((most - size) / 8, most / 64),
            )
        return budget

    def _refuse_texts(self, request: Request, used: int) -> NoReturn:
        most = self._settings.text_per_user
        logger.info("%s has %d bytes of text in live requests", request.user.username, used)
        _refuse_request(
            f"Your requests that have not ended have {used} bytes of text, this one has {request.text_size}, "
            f"and the limit is {most}. Wait until some have ended, or revoke some"
        )

    def _describe_rate(self) -> str:
        settings = self._settings
        return f"{settings.calls_per_second:g} per second on average, {settings.calls_at_once} at once"


def _refuse_request(reason: str) -> NoReturn:
    raise RefusedError(Kind.TOO_MANY, reason)
