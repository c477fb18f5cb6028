"""Behind a proxy, whose connections are those of many clients: how many calls at a time each client makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from polytope_server.http.connections import network
from polytope_server.http.retry_after import retry_after
from polytope_server.http.shell import ASGIApp, Receive, Scope, Send, answer_error

_TRY_AGAIN = [(name.lower().encode(), value.encode()) for name, value in retry_after().items()]


class ConcurrencyLimit:
    """Admits a number of calls of an address at a time, and answers further ones with 429."""

    def __init__(self, app: ASGIApp, most: int, on_refused: Callable[[str], None]) -> None:
        """`on_refused` gets the reason, as for a connection that is cut."""
        self._app, self._most, self._on_refused = app, most, on_refused
        self._calls: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = network(str((scope.get("client") or ("",))[0]))
        if self._calls[caller] >= self._most:
            self._on_refused("address")
            message = f"There are too many calls from your address: the limit is {self._most} at a time"
            await answer_error(send, 429, message, _TRY_AGAIN)
            return
        self._calls[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._calls[caller] -= 1
            if not self._calls[caller]:
                del self._calls[caller]
