"""Limits at the door: calls per second, requests that have not ended, and their texts.

Calls are counted in the cache, so that all frontends count together; while it is down nobody is refused. The
requests are counted in the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any, NoReturn
from weakref import WeakValueDictionary

import falcon
import falcon.asgi
from cachetools import LRUCache

from polytope_server.caching import Cache
from polytope_server.caching.window import SlidingWindow
from polytope_server.frontend.budget import Budget, UsedUpError
from polytope_server.http.shell import refuse
from polytope_server.request import LIVE, Request
from polytope_server.request_store import RequestStore
from polytope_server.settings.root import DoorLimitsSettings
from polytope_server.user import User

logger = logging.getLogger(__name__)

#: When somebody may come again who has too many requests: nobody knows, one may end at any time.
_RETRY_SECONDS = 5
#: Up to so many live requests of all users are counted for each new one; beyond, a count costs more.
_COUNTED_EACH_TIME = 1000
#: The most users whose texts are counted at a time.
_USERS = 10_000
#: How `polytope-client` names itself; so do other programs with the same library.
_CLIENT = "python-requests/"


class DoorLimits:
    """Lets calls and requests in, or ends the call with 429."""

    def __init__(self, settings: DoorLimitsSettings, cache: Cache, store: RequestStore) -> None:
        self._settings = settings
        self._store = store
        self._submitting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._all = None if settings.total is None else self._total(settings.total)
        self._texts: LRUCache[str, Budget] = LRUCache(_USERS)
        self._window: SlidingWindow | None = None
        if settings.calls_per_second is not None:
            # So many in so many seconds are the same as an average and a burst.
            self._seconds = settings.calls_at_once / settings.calls_per_second
            self._window = SlidingWindow(cache, "calls", self._seconds)

    @property
    def counts_calls(self) -> bool:
        """Whether there is a limit of calls."""
        return self._window is not None

    def described(self) -> dict[str, str]:
        """The limits as users are told them."""
        settings = self._settings
        found = {
            "limit of live requests": settings.per_user,
            "limit of live requests of all users": settings.total,
            "limit of calls": self._rate() if self.counts_calls else None,
        }
        return {name: str(value) for name, value in found.items() if value is not None}

    async def admit_call(self, req: falcon.asgi.Request, user: User) -> None:
        """Count a call. Ends it if the user makes too many."""
        if self._window is None:
            return
        count = await self._window.add(user.id)
        if count is None:
            return
        most = self._settings.calls_at_once
        if count.total <= most:
            req.context.rate = self._headers(most - count.total, count.reset)
            return
        # What is refused does not count: else whoever comes too often would never get in again.
        await self._window.add(user.id, -1)
        seconds = math.ceil(replace(count, current=count.current - 1).wait(most - 1)) or 1
        req.context.rate = self._headers(0, seconds)
        logger.debug("too many calls of %s", user.username)
        refuse_for_now(req, f"Too many calls: the limit of a user is {self._rate()}", seconds)

    @asynccontextmanager
    async def admit_request(self, req: falcon.asgi.Request, request: Request) -> AsyncIterator[None]:
        """The context in which a new request is stored. Ends the call if that would exceed a limit.

        One process exceeds no limit. Several may: that of a user by as many as they take at the same moment,
        the others by what they take between two measurements (see :meth:`_total` and :meth:`_texts_of`).
        """
        most = self._settings.per_user
        turn = nullcontext() if most is None else self._turn(req, request.user, most)
        texts = self._texts_of(request.user).take(request.text_size)
        place = nullcontext() if self._all is None else self._all.take(1)
        try:
            async with turn, texts, place:
                yield
        except UsedUpError as error:
            if error.budget is self._all:
                self._refuse_any(req, error.used)
            self._refuse_texts(req, request, error.used)

    @asynccontextmanager
    async def _turn(self, req: falcon.asgi.Request, user: User, most: int) -> AsyncIterator[None]:
        """The context in which a user stores a request of at most so many."""
        async with self._submitting.setdefault(user.id, asyncio.Lock()):
            await self._check_user(req, user, most)
            yield

    async def _check_user(self, req: falcon.asgi.Request, user: User, most: int) -> None:
        live = await self._store.count(user_id=user.id, statuses=LIVE, limit=most)
        if live >= most:
            logger.info("%s has %d live requests, and gets no further one", user.username, live)
            message = (
                f"You have {live} requests that have not ended, and the limit is {most}. Wait until one has "
                "ended, or revoke one"
            )
            refuse_for_now(req, message, _RETRY_SECONDS)

    def _total(self, most: int) -> Budget:
        """The requests of all users: up to a thousand are counted each time, more only now and then."""
        return Budget(
            most, lambda: self._store.count(statuses=LIVE, limit=most), lambda live: live / _COUNTED_EACH_TIME
        )

    def _refuse_any(self, req: falcon.asgi.Request, live: int) -> NoReturn:
        most = self._settings.total
        logger.warning("there are %d live requests, so no further one is taken", live)
        message = f"The server has {live} requests of all users that have not ended; the limit is {most}"
        refuse_for_now(req, message, _RETRY_SECONDS)

    def _texts_of(self, user: User) -> Budget:
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

    def _refuse_texts(self, req: falcon.asgi.Request, request: Request, used: int) -> NoReturn:
        most = self._settings.text_per_user
        logger.info("%s has %d bytes of text in live requests", request.user.username, used)
        message = (
            f"Your requests that have not ended have {used} bytes of text, this one has {request.text_size}, "
            f"and the limit is {most}. Wait until some have ended, or revoke some"
        )
        refuse_for_now(req, message, _RETRY_SECONDS)

    def _rate(self) -> str:
        settings = self._settings
        return f"{settings.calls_per_second:g} per second on average, {settings.calls_at_once} at once"

    def _headers(self, remaining: float, reset: float) -> dict[str, str]:
        """As the tenth draft of `RateLimit header fields for HTTP` has them; it knows whole numbers only."""
        return {
            "RateLimit-Policy": f'"calls";q={self._settings.calls_at_once};w={math.ceil(self._seconds)}',
            "RateLimit": f'"calls";r={math.floor(remaining)};t={math.ceil(reset)}',
        }


class RateLimitHeaders:
    """Middleware: tells on each answer how many calls are left."""

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, succeeded: bool
    ) -> None:
        for name, value in getattr(req.context, "rate", {}).items():
            resp.set_header(name, value)


def refuse_for_now(
    req: falcon.asgi.Request, message: str, seconds: int, *, is_poll: bool | None = None
) -> NoReturn:
    """End the call with 429 and Retry-After. Whether it is a poll, the route tells unless it is given.

    On a 429 `polytope-client` is silent for two minutes and tries again, ten times, and never shows the
    message. That is right for a poll, which then goes on. To everything else it gets a 403, whose message it
    shows at once.
    """
    shows_it = is_polytope_client(req) and not (_is_poll(req) if is_poll is None else is_poll)
    refuse(
        falcon.HTTP_403 if shows_it else falcon.HTTP_429,
        f"{message}. Try again in {seconds} second{'s' if seconds != 1 else ''}.",
        Retry_After=str(seconds),
    )


def is_polytope_client(req: falcon.asgi.Request) -> bool:
    """Whether the caller may be `polytope-client`."""
    return (req.user_agent or "").startswith(_CLIENT)


def _is_poll(req: falcon.asgi.Request) -> bool:
    # A path with a name in it: a request, an upload, a download.
    return req.method == "GET" and "{" in (req.uri_template or "")
