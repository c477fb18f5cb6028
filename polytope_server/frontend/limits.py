"""Limits at the door: calls per second, and requests that have not ended. None unless configured.

Calls are counted in the cache, so that all frontends count together; while it is down nobody is refused. The
requests are counted in the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NoReturn
from weakref import WeakValueDictionary

import falcon
import falcon.asgi

from polytope_server.asgi import refuse
from polytope_server.caching import Cache
from polytope_server.caching.window import SlidingWindow
from polytope_server.config.settings import DoorLimitsSettings
from polytope_server.request import LIVE
from polytope_server.request_store import RequestStore
from polytope_server.user import User

logger = logging.getLogger(__name__)

#: When somebody may come again who has too many requests: nobody knows, one may end at any time.
_RETRY_SECONDS = 5
#: How `polytope-client` names itself; so do other programs with the same library.
_CLIENT = "python-requests/"


class DoorLimits:
    """Lets calls and requests in, or ends the call with 429."""

    def __init__(self, settings: DoorLimitsSettings, cache: Cache, store: RequestStore) -> None:
        self._settings = settings
        self._store = store
        self._submitting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
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
    async def admit_request(self, req: falcon.asgi.Request, user: User) -> AsyncIterator[None]:
        """The context in which a new request is stored. Ends the call if there are too many.

        One process does not exceed the limit of a user. Submissions to several processes at the same moment
        may, by their number, and so may those of several users the limit of all.
        """
        if self._settings.per_user is None:
            await self._check_total(req)
            yield
            return
        async with self._submitting.setdefault(user.id, asyncio.Lock()):
            await self._check_user(req, user, self._settings.per_user)
            await self._check_total(req)
            yield

    async def _check_user(self, req: falcon.asgi.Request, user: User, most: int) -> None:
        live = await self._store.count(user_id=user.id, statuses=LIVE)
        if live >= most:
            logger.info("%s has %d live requests, and gets no further one", user.username, live)
            message = (
                f"You have {live} requests that have not ended, and the limit is {most}. Wait until one has "
                "ended, or revoke one"
            )
            refuse_for_now(req, message, _RETRY_SECONDS)

    async def _check_total(self, req: falcon.asgi.Request) -> None:
        most = self._settings.total
        if most is None:
            return
        live = await self._store.count(statuses=LIVE)
        if live >= most:
            logger.warning("there are %d live requests, so no further one is taken", live)
            message = f"The server has {live} requests of all users that have not ended; the limit is {most}"
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


def refuse_for_now(req: falcon.asgi.Request, message: str, seconds: int) -> NoReturn:
    """End the call with 429 and Retry-After.

    On a 429 `polytope-client` is silent for two minutes and tries again, ten times, and never shows the
    message. That is right for a poll, which then goes on. To everything else it gets a 403, whose message it
    shows at once.
    """
    shows_it = is_polytope_client(req) and not _is_poll(req)
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
