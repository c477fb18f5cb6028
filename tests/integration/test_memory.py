"""Bytes stream: no process grows with the size of a result or of an upload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import requests

from polytope_server.testing.server import StandaloneServer

SIZE = 512 << 20
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


def test_memory_does_not_grow_with_a_result(tmp_path: Path) -> None:
    with StandaloneServer(tmp_path / "data", {"worker": {"concurrency": 1}}) as server:
        session = server.session()
        # Everything is imported and has run once before memory is compared.
        warm = server.poll(session, server.submit(session, "dummy", 20 << 20)).json()
        requests.get(f"{server.url}/{warm['location'].removeprefix('../')}", timeout=60)
        before = peaks(server)
        place = server.poll(session, server.submit(session, "dummy", SIZE)).json()
        received = 0
        url = f"{server.url}/{place['location'].removeprefix('../')}"
        with requests.get(url, stream=True, timeout=60) as answer:
            for chunk in answer.iter_content(1 << 20):
                received += len(chunk)
        assert received == place["contentLength"] == SIZE
        check_growth(before, peaks(server))


def test_memory_does_not_grow_with_an_upload(tmp_path: Path) -> None:
    def blocks(size: int) -> Iterator[bytes]:
        for _ in range(size >> 20):
            yield b"x" * (1 << 20)

    def archive(server: StandaloneServer, session: requests.Session, size: int) -> None:
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

    with StandaloneServer(tmp_path / "data", {"worker": {"concurrency": 1}}) as server:
        session = server.session()
        archive(server, session, 20 << 20)
        before = peaks(server)
        archive(server, session, SIZE)
        check_growth(before, peaks(server))
