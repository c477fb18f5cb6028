"""Bytes stream: no process grows with the size of a result, of an upload or of a list."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.request import Request, Status
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import INSERT, to_row
from polytope_server.testing.requests import make
from polytope_server.user import User
from testbed.server import USER, StandaloneServer

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

SIZE = 256 << 20
#: What a process may grow by while that flows through it.
ALLOWED = 64 << 20


def peaks(server: StandaloneServer) -> dict[int, int]:
    """The peak resident memory of each process, in bytes."""
    found = {}
    for process in server.all_processes():
        status = Path(f"/proc/{process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        found[process.pid] = int(line.split()[1]) << 10
    return found


def check_growth(before: dict[int, int], after: dict[int, int]) -> None:
    growth = {pid: after[pid] - before[pid] for pid in before.keys() & after.keys()}
    assert len(growth) >= 6  # supervisor, broker, worker, collector, two of the frontend
    assert max(growth.values()) < ALLOWED, growth


@pytest.fixture(params=["embedded", "mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"])
def server(request: pytest.FixtureRequest, stacks: Stacks, tmp_path: Path) -> Iterator[StandaloneServer]:
    config = {"worker": {"concurrency": 1}}
    if request.param == "embedded":
        made = StandaloneServer(tmp_path / "data", config)
    else:
        made = stacks.server(request.param, tmp_path / "data", config)
    with made:
        yield made


def test_memory_does_not_grow_with_a_result(server: StandaloneServer) -> None:
    session = server.session()
    # Everything is imported and has run once before memory is compared.
    download(server, server.poll(session, server.submit(session, "dummy", 20 << 20)))
    before = peaks(server)
    answer = server.poll(session, server.submit(session, "dummy", SIZE))
    assert download(server, answer) == answer.json()["contentLength"] == SIZE
    check_growth(before, peaks(server))


def download(server: StandaloneServer, answer: requests.Response) -> int:
    """Fetch a result, and throw it away; returns its size."""
    assert answer.status_code == 303, answer.text
    with requests.get(server.link(answer), stream=True, timeout=60) as data:
        return sum(map(len, data.iter_content(1 << 20)))


def test_memory_does_not_grow_with_an_upload(server: StandaloneServer) -> None:
    session = server.session()
    archive(server, session, 20 << 20)
    before = peaks(server)
    archive(server, session, SIZE)
    check_growth(before, peaks(server))


def archive(server: StandaloneServer, session: requests.Session, size: int) -> None:
    """Archive that many bytes."""
    request_id = server.submit(session, "echo", {"class": "od"}, verb="archive")
    digest = hashlib.md5()
    for block in blocks(size):
        digest.update(block)
    answer = session.post(
        f"{server.url}/uploads/{request_id}",
        data=blocks(size),
        headers={"X-Checksum": digest.hexdigest()},
        timeout=120,
    )
    assert answer.status_code == 202, answer.text
    assert server.poll(session, request_id).json()["status"] == "processed"


def test_the_collector_does_not_grow_with_requests_and_objects(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    found = subprocess.run(
        [sys.executable, "-c", COLLECT, tmp_path], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr
    before, after, removed = (int(word) for word in found.stdout.split())
    assert removed == LARGE
    assert (after - before) << 10 < COLLECTOR_ALLOWED, found.stdout


#: Requests that have ended, with a text of that many bytes; other requests, and objects of each of these.
LARGE, TEXT, OTHERS, OBJECTS = 150, 500_000, 200, 500
COLLECTOR_ALLOWED = 16 << 20
COLLECT = f"""
import asyncio, re, sys, time
from pathlib import Path
from polytope_server.config import Configuration
from polytope_server.garbage_collector.collector import GarbageCollector
from polytope_server.garbage_collector.composition import make_parts
from polytope_server.staging import StagedObject

def peak():
    return int(re.search("VmHWM: *\\t *([0-9]+)", Path("/proc/self/status").read_text())[1])

async def many():
    for request in range({OTHERS}):
        for number in range({OBJECTS}):
            yield StagedObject(f"request-{{request}}/{{number:032x}}.bin", 1, "", "", time.time())

async def main():
    parts = make_parts(Configuration(), Path(sys.argv[1]))
    collector = GarbageCollector(Configuration().settings, parts)
    opened = (parts.store, parts.staging, parts.metric_store)
    for part in opened:
        await part.open()
    # To make as many files takes too long.
    parts.staging.list = many
    before, stored = peak(), await parts.store.count()
    await collector.collect()
    assert re.search("staging_objects {OTHERS * OBJECTS}[.]0\\n", collector.metrics.text().decode())
    print(before, peak(), stored - await parts.store.count())
    for part in opened:
        await part.close()

asyncio.run(main())
"""


async def fill(data: Path) -> None:
    """Old requests with long texts, and others."""
    store = SQLRequestStore(SQLSettings(), data)
    await store.open()
    await store.close()
    text = "x" * (TEXT // 2)
    old: dict[str, Any] = {"status": Status.PROCESSED, "timestamp": time.time() - 10 * 86400}
    ended = (make(**old, user_request=text, coerced_request={"x": text}) for _ in range(LARGE))
    others = (make(id=f"request-{number}") for number in range(OTHERS))
    with closing(sqlite3.connect(data / "polytope.sqlite")) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.executemany(INSERT, map(to_row, ended))
        database.executemany(INSERT, map(to_row, others))
        database.commit()


def blocks(size: int) -> Iterator[bytes]:
    """The bytes to archive."""
    for _ in range(size >> 20):
        yield b"x" * (1 << 20)


def test_memory_does_not_grow_with_a_list(tmp_path: Path) -> None:
    with StandaloneServer(tmp_path / "data") as server:
        asyncio.run(store_large_requests(server.data, 400))
        session = server.session()
        session.get(f"{server.url}/user", timeout=60)
        before = peaks(server)
        with session.get(f"{server.url}/requests", stream=True, timeout=60) as answer:
            size = sum(map(len, answer.iter_content(1 << 20)))
        assert size > 400 * 500_000
        check_growth(before, peaks(server))


async def store_large_requests(data: Path, number: int) -> None:
    """As the server itself would have stored them: requests of 500 kB that have ended."""
    store = SQLRequestStore(SQLSettings(), data)
    await store.open()
    user = User(USER, "test")
    for _ in range(number):
        text = "x" * 500_000
        await store.add(Request(user, "echo", status=Status.PROCESSED, user_request=text))
    await store.close()
