"""An object as the answer to a GET: what is counted of it before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from polytope_server.http.delivery import deliver
from polytope_server.http.shell import refuse
from polytope_server.staging import StagedObject

SIZE = 1 << 20


class OneObject:
    """A staging with one object."""

    async def stat(self, name: str) -> StagedObject:
        return StagedObject(name, SIZE, "application/grib", "", 0.0)

    async def read(self, name: str, start: int, length: int) -> AsyncIterator[bytes]:
        yield b"x" * length


class Resource:
    """Delivers the object, and writes down what it asked for first."""

    def __init__(self) -> None:
        self.admitted: list[int] = []
        self.refuses = False
        self.served = self.completed = 0

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        staging: Any = OneObject()
        await deliver(
            staging, "id/a.b", req, resp, head=False,
            served=self._serve, admit=self._admit, completed=self._complete,
        )  # fmt: skip

    def _serve(self, size: int) -> None:
        self.served += size

    def _complete(self) -> None:
        self.completed += 1

    async def _admit(self, size: int) -> None:
        self.admitted.append(size)
        if self.refuses:
            refuse(falcon.HTTP_429, "Too many")


async def get(resource: Resource, **headers: str) -> Any:
    app = falcon.asgi.App()
    app.add_route("/", resource)
    async with falcon.testing.ASGIConductor(app) as conductor:
        return await conductor.simulate_get("/", headers=headers)


@pytest.mark.parametrize(
    ("wanted", "status", "admitted"),
    [
        ("bytes=4096-8191", 206, 4096),
        ("bytes=0-9,100-109,-5", 206, 25),
        ("bytes=-10", 206, 10),
        ("bytes=0-", 206, SIZE),
        ("", 200, SIZE),
    ],
)
async def test_a_range_counts_with_its_own_length(wanted: str, status: int, admitted: int) -> None:
    resource = Resource()
    answer = await get(resource, Range=wanted)
    assert (answer.status_code, answer.content.count(b"x")) == (status, admitted)
    assert (resource.admitted, resource.served) == ([admitted], admitted)


@pytest.mark.parametrize(
    ("wanted", "completed"),
    [
        ("", 1),
        ("bytes=-1", 1),
        ("bytes=0-9", 0),
        ("bytes=0-9,-5", 1),
        ("bytes=-5,0-9", 1),
        ("bytes=0-9,20-29", 0),
    ],
)
async def test_a_download_is_complete_when_the_last_byte_was_sent(wanted: str, completed: int) -> None:
    resource = Resource()
    await get(resource, Range=wanted)
    assert resource.completed == completed


async def test_a_range_that_is_not_admitted_has_no_place_in_the_answer() -> None:
    resource = Resource()
    resource.refuses = True
    answer = await get(resource, Range="bytes=0-1")
    assert answer.status_code == 429
    assert "content-range" not in answer.headers


async def test_a_range_outside_of_the_object_is_not_counted() -> None:
    resource = Resource()
    answer = await get(resource, Range=f"bytes={SIZE}-")
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert resource.admitted == []
