"""A disk that results fill: it is that of the database, too, and there are other users."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from testbed.server import CONFIG, StandaloneServer

pytestmark = pytest.mark.unmeasured

MIB = 1 << 20


@pytest.fixture
def server(small_disk: Path, greedy: None) -> Iterator[StandaloneServer]:
    config = {
        "worker": {"concurrency": 2},
        "datasources": {**CONFIG["datasources"], "greedy": {"type": "greedy"}},
        "collections": {
            **CONFIG["collections"],
            "greedy": {"roles": {"test": ["default"]}, "datasources": ["greedy"]},
        },
    }
    with StandaloneServer(small_disk / "data", config) as server:
        yield server


def test_a_result_that_fills_the_disk_fails_at_once_and_harms_no_other(
    server: StandaloneServer, in_background: Callable[..., Future[Any]]
) -> None:
    alice, bob = server.session(), server.session("bob")
    large = server.submit(alice, "greedy", f"stream {10**12}")
    ended = in_background(server.poll, alice, large)
    results = 0
    while not ended.done():
        assert server.result(bob, server.submit(bob, "echo", "hello")) == b"hello"
        results += 1
    answer = ended.result()
    assert answer.status_code == 400
    assert "The result has " in answer.json()["message"]
    assert " bytes or more; there is room for " in answer.json()["message"]
    assert "attempts" not in answer.json()["message"]
    assert results > 0
    assert len(server.result(alice, server.submit(alice, "dummy", 100 * MIB))) == 100 * MIB


def test_an_upload_that_does_not_fit_is_refused(server: StandaloneServer) -> None:
    alice = server.session()
    request_id = server.submit(alice, "echo", {"class": "od"}, verb="archive")

    def upload(data: Any) -> Any:
        headers = {"X-Checksum": hashlib.md5(b"").hexdigest()}
        return alice.post(f"{server.url}/uploads/{request_id}", data=data, headers=headers, timeout=60)

    for data in (b"x" * (300 * MIB), (b"x" * MIB for _ in range(300))):
        answer = upload(data)
        assert answer.status_code == 413
        assert answer.json()["message"].startswith("The upload has ")
        assert "bytes or more; there is room for " in answer.json()["message"]
