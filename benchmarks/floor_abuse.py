"""What a bare application answers to abusers: the same bytes, with nothing behind them."""

from __future__ import annotations

import json
import os
from typing import Any

import falcon
import falcon.asgi

#: The variable with the number of requests in the long list, and the characters of the text of each.
LISTED, TEXT = "FLOOR_LISTED", 60_000


class _LongList:
    """Many requests with long texts, encoded again for each call."""

    def __init__(self, count: int) -> None:
        self._requests = [{"id": str(number), "user_request": "x" * TEXT} for number in range(count)]

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = json.dumps({"message": self._requests}).encode()


class _Discard:
    """Takes an upload, and keeps nothing."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        async for _ in req.stream:
            pass
        resp.status = falcon.HTTP_202


def add_routes(app: falcon.asgi.App[Any, Any]) -> None:
    """Have the application answer to what :mod:`benchmarks.abusers` sends, beyond the calls of everybody."""
    app.add_route("/api/v1/requests/held", _LongList(int(os.environ.get(LISTED, "0"))))
    app.add_route("/api/v1/uploads/{name}", _Discard())
