"""Where answers say that requests, uploads and results are: the header and the body say the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from polytope_server.request import Status
from polytope_server.settings import Settings
from polytope_server.settings.frontend import FrontendSettings
from testbed.frontend import Answer, Frontend, frontend
from testbed.server import CONFIG

OWN = "polytope.example.org"
RESULT = "{}/0123456789abcdef0123456789abcdef.bin"
PEER = "Federation shared-between-two-servers:alice:test"


@asynccontextmanager
async def configured(data: Path, **settings: Any) -> AsyncIterator[Frontend]:
    sections = {
        "frontend": {"poll_wait": 0, **settings},
        "federation": {"peer": {"secret": "shared-between-two-servers"}},
    }
    async with frontend(data, sections) as made:
        yield made


async def end(made: Frontend, request_id: str, **changes: Any) -> None:
    """Let a request end as if a worker had worked on it."""
    store = made.services.store
    assert await store.transition(request_id, Status.WAITING, 0, Status.QUEUED)
    await store.claim([request_id], "a worker", 60.0)
    assert await store.transition(request_id, Status.PROCESSING, 1, Status.PROCESSED, **changes)


async def locations(made: Frontend, **call: Any) -> dict[str, str]:
    """The locations of all kinds of answers to calls of that kind, without ids and tokens."""
    submitted = await made.submit(**call)
    request_id = submitted.body["id"]
    archive = await made.call("POST", "/requests/echo", {"verb": "archive", "request": {}}, **call)
    pending = await made.call("GET", f"/requests/{request_id}", **call)
    result = RESULT.format(request_id)
    await end(made, request_id, result=result, content_length=1, content_type="application/octet-stream")
    ended = await made.call("GET", f"/requests/{request_id}", **call)
    led = await made.call("GET", f"/downloads/{request_id}", **call)
    assert ended.body["location"] == ended.headers["location"]
    found = {
        "submitted": submitted, "pending": pending, "upload": archive, "result": ended, "led": led,
    }  # fmt: skip
    return {name: plain(answer, request_id, archive.body["id"]) for name, answer in found.items()}


def plain(answer: Answer, *ids: str) -> str:
    location = answer.headers["location"]
    for text in ids:
        location = location.replace(text, "ID")
    return location.replace(RESULT.format("ID"), "RESULT")


RELATIVE = {
    "submitted": "./ID", "pending": "./ID", "upload": "../uploads/ID", "result": "../downloads/RESULT",
    "led": "./RESULT",
}  # fmt: skip


def absolute(base: str) -> dict[str, str]:
    return {
        "submitted": f"{base}/requests/ID", "pending": f"{base}/requests/ID", "upload": f"{base}/uploads/ID",
        "result": f"{base}/downloads/RESULT", "led": f"{base}/downloads/RESULT",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("host", "base"),
    [
        (OWN, f"http://{OWN}"),
        (f"{OWN}:80", f"http://{OWN}:80"),
        ("POLYTOPE.example.org", "http://POLYTOPE.example.org"),
        ("inner:5000", "http://inner:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("inner", None),
        (f"{OWN}:5000", None),
        (f"evil.{OWN}", None),
        (f"{OWN}.evil", None),
    ],
)
async def test_locations_are_absolute_where_the_host_is_one_of_the_servers_own(
    tmp_path: Path, host: str, base: str | None
) -> None:
    async with configured(tmp_path, hosts=[f"{OWN}:443", "inner:5000", "[::1]:5000"]) as made:
        assert await locations(made, host=host) == (RELATIVE if base is None else absolute(f"{base}/api/v1"))


async def test_without_hosts_locations_are_relative(tmp_path: Path) -> None:
    async with configured(tmp_path) as made:
        assert await locations(made, host=OWN) == RELATIVE


async def test_a_public_address_goes_before_hosts(tmp_path: Path) -> None:
    async with configured(tmp_path, public_url="https://far.example.org/p/", hosts=[OWN]) as made:
        assert await locations(made, host=OWN) == absolute("https://far.example.org/p/api/v1")


async def test_a_peer_gets_the_host_that_it_has_called(tmp_path: Path) -> None:
    async with configured(tmp_path) as made:
        found = await locations(made, host="whatever", authorization=PEER)
        assert found == absolute("http://whatever/api/v1")


async def test_the_prefix_and_the_scheme_are_those_that_the_proxy_says(tmp_path: Path) -> None:
    async with configured(tmp_path, hosts=[OWN]) as made:
        found = await locations(made, host=OWN, scheme="https", root_path="/some/prefix")
        assert found == absolute(f"https://{OWN}/some/prefix/api/v1")


async def test_an_archive_that_has_ended_is_where_its_request_is(tmp_path: Path) -> None:
    async with configured(tmp_path, hosts=[OWN]) as made:
        submitted = await made.call("POST", "/requests/echo", {"verb": "archive", "request": {}}, host=OWN)
        request_id = submitted.body["id"]
        assert await made.services.store.transition(request_id, Status.UPLOADING, 0, Status.WAITING)
        await end(made, request_id)
        ended = await made.call("GET", f"/requests/{request_id}", host=OWN)
        assert ended.body["location"] == f"http://{OWN}/api/v1/requests/{request_id}"


@pytest.mark.parametrize("host", ["https://polytope.example.org", "a b", "a/b", "u@a", "a:99999", ""])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="HOST or HOST:PORT"):
        FrontendSettings.model_validate({"hosts": [host]})


async def test_a_collection_may_be_called_all(tmp_path: Path) -> None:
    source = CONFIG["collections"]["echo"]
    async with frontend(tmp_path, {"frontend": {"poll_wait": 0}, "collections": {"all": source}}) as made:
        for _ in range(2):
            assert (await made.submit("all")).status == 202
        assert len((await made.call("GET", "/requests/all")).ids) == 2
        revoked = await made.call("DELETE", "/requests/all")
        assert revoked.message == "Successfully revoked 2 requests"


def test_settings_have_no_hosts_by_default() -> None:
    assert Settings.model_validate({}).frontend.hosts == []
