"""A frontend within the test's own process, without a socket: several of them can share their back-ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polytope_server.config import load
from polytope_server.frontend.composition import compose
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.routes import make_falcon
from polytope_server.runtime.management.server import Management
from testbed.server import CONFIG, basic


@dataclass(frozen=True)
class Answer:
    """The answer to a call; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """Those of the requests that it lists."""
        return [request["id"] for request in self.body["message"]]

    @property
    def message(self) -> str:
        """What the answer says."""
        return str(self.body["message"])


class Frontend:
    """Calls the routes of a frontend as its users do."""

    def __init__(self, services: Services) -> None:
        self.services = services
        management = Management(None, services.health, services.metrics, lambda: False)
        self._app = make_falcon(services, management)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "alice",
        password: str | None = None,
        authorization: str | None = None,
        address: str = "192.0.2.1",
        agent: str = "curl",
        host: str = "polytope.test",
        sending: Callable[[], Awaitable[object]] | None = None,
        further: Mapping[str, str] | None = None,
        **scope: Any,
    ) -> Answer:
        """Call `path` below /api/v1 as a user, from an address, with a program of that name, at a host.

        With `authorization`, that is the header instead of name and password of the user. `path` may have a
        query. An answer without a body has an empty one. `sending` is awaited before each part of the answer
        is taken; `further` are more headers, `scope` additions to the scope of the call.
        """
        headers = basic(user, password or f"{user}'s password") | {"User-Agent": agent, "Host": host}
        if authorization is not None:
            headers["Authorization"] = authorization
        headers |= {"Content-Type": "application/json", **(further or {})}
        path, _, query = path.partition("?")
        scope |= {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": f"/api/v1{path}",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (address, 1),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def send(event: Any) -> None:
            if sending is not None:
                await sending()
            sent.append(event)

        await self._app(scope, receive, send)
        found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        text = b"".join(event.get("body", b"") for event in sent[1:])
        return Answer(sent[0]["status"], found, json.loads(text or b"{}"))

    async def submit(self, collection: str = "echo", request: Any = "x", **caller: Any) -> Answer:
        """Submit a request. There is no broker, so that it never ends."""
        body = {"verb": "retrieve", "request": request}
        return await self.call("POST", f"/requests/{collection}", body, **caller)


@asynccontextmanager
async def frontend(data: Path, sections: Mapping[str, Any]) -> AsyncIterator[Frontend]:
    """A frontend with the users and collections of `CONFIG`, and further sections, in a data folder."""
    file = data / "config.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **sections}))
    services = compose(load([file]), data)
    await services.lifecycle.open()
    try:
        yield Frontend(services)
    finally:
        await services.lifecycle.close()
