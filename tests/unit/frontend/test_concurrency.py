"""Behind a proxy: calls at a time of each client."""

from __future__ import annotations

import asyncio
from typing import Any

from polytope_server.frontend.concurrency import ConcurrencyLimit
from polytope_server.frontend.proxy import ForwardedHeaders
from polytope_server.settings.networks import Networks


class Clients:
    """Calls through a proxy that are held until released; two at a time of an address."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._released = asyncio.Event()
        self._app = ForwardedHeaders(
            ConcurrencyLimit(self._hold, 2, self.refused.append), Networks(["10.0.0.0/8"])
        )
        self.calls: list[asyncio.Task[list[Any]]] = []

    async def _hold(self, scope: Any, receive: Any, send: Any) -> None:
        await self._released.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def call(self, peer: str, forwarded: str) -> None:
        async def answered() -> list[Any]:
            sent: list[Any] = []

            async def send(event: Any) -> None:
                sent.append(event)

            scope = {
                "type": "http",
                "headers": [(b"x-forwarded-for", forwarded.encode())],
                "client": (peer, 1),
            }
            await self._app(scope, None, send)  # type: ignore[arg-type]
            return sent

        self.calls.append(asyncio.create_task(answered()))
        await asyncio.sleep(0)

    async def statuses(self) -> list[int]:
        self._released.set()
        return [(await call)[0]["status"] for call in self.calls]


async def test_each_client_of_the_proxy_has_its_share() -> None:
    clients = Clients()
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await clients.call("10.0.0.1", address)
    assert await clients.statuses() == [200, 200, 429, 200]
    assert clients.refused == ["address"]


async def test_who_is_no_proxy_cannot_name_another_address() -> None:
    clients = Clients()
    for number in range(3):
        await clients.call("203.0.113.7", f"192.0.2.{number}")
    assert await clients.statuses() == [200, 200, 429]


async def test_calls_that_have_ended_do_not_count() -> None:
    clients = Clients()
    for _ in range(2):
        await clients.call("10.0.0.1", "192.0.2.1")
    await clients.statuses()
    await clients.call("10.0.0.1", "192.0.2.1")
    assert await clients.statuses() == [200] * 3


async def test_the_answer_says_what_the_limit_is_and_when_to_come_again() -> None:
    clients = Clients()
    for _ in range(3):
        await clients.call("10.0.0.1", "192.0.2.1")
    start, body = await clients.calls[2]
    assert (b"retry-after", b"5") in start["headers"]
    assert body["body"] == (
        b'{"message": "There are too many calls from your address: the limit is 2 at a time"}'
    )
    await clients.statuses()
