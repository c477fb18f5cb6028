"""Clients that make the server wait: others get in, what they hold is bounded, and they are ended."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from testbed.server import StandaloneServer, basic, free_port, users_of
from testbed.services import S3
from testbed.waiting import until

#: As many as a process had file descriptors by default, and more.
MANY = 1100
MIB = 1 << 20
#: At a time, of the only user who makes any.
DOWNLOADS = 48
TEST = b"GET /api/v1/test HTTP/1.1\r\nHost: x\r\n\r\n"


class Server(StandaloneServer):
    """A server, and what its frontend counts."""

    def __init__(self, data: Path, frontend: dict[str, object], **sections: object) -> None:
        self.management = free_port()
        super().__init__(
            data, {"frontend": {**frontend, "management": {"port": self.management}}, **sections}
        )

    def cut(self, reason: str) -> int:
        """How many connections were cut for that reason."""
        text = requests.get(f"http://127.0.0.1:{self.management}/metrics", timeout=20).text
        found = re.search(rf'^polytope_connections_cut_total{{reason="{reason}"}} (\S+)$', text, re.MULTILINE)
        assert found, text
        return int(float(found[1]))

    def connect(self, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), 20, source_address=(address, 0))
        made.sendall(sent)
        return made

    def memory(self) -> int:
        """The resident memory of the frontend's processes at its peak, in bytes."""
        peak = 0
        for process in self.processes("frontend"):
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) << 10)
        return peak


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    frontend = {
        "connections": {"per-address": 1000, "head-time": 3, "rate-time": 2},
        "transfers": {"per-user": DOWNLOADS},
    }
    with Server(tmp_path_factory.mktemp("connections") / "data", frontend) as one:
        yield one


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(12, socket.MSG_WAITALL).split()[1])


def test_one_address_without_heads_keeps_nobody_else_out_and_is_ended(server: Server) -> None:
    held = [server.connect() for _ in range(MANY)]
    other = server.connect(TEST, address="127.0.0.2")
    assert status_of(other) == 200
    assert server.cut("address") >= MANY - 1000
    until(lambda: server.cut("head") >= 1000)
    with server.connect(TEST) as again:
        assert status_of(again) == 200
    for connection in (*held, other):
        connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage \r\n\r\n", 400),
        (TEST.replace(b"Host", b"Connection: upgrade\r\nUpgrade: h2c\r\nHost"), 200),
        (TEST.replace(b"Host", b"Connection: upgrade\r\nUpgrade: websocket\r\nHost"), 200),
    ],
)
def test_what_anybody_may_send_leaves_no_line_in_the_log(server: Server, sent: bytes, status: int) -> None:
    before = server.log.read_text()
    with server.connect(sent) as connection:
        assert status_of(connection) == status
    added = server.log.read_text()[len(before) :].splitlines()
    # Connections that were cut before are logged when it is their time.
    assert [line for line in added if "connections were cut" not in line] == []


def upload(server: Server, request_id: str, length: int, begun: bytes = b"") -> socket.socket:
    """An upload that announces a number of bytes, and has sent some."""
    authorization = basic(*next(iter(users_of(server.config).items())))["Authorization"]
    head = (
        f"POST /api/v1/uploads/{request_id} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        f"X-Checksum: {'0' * 32}\r\nContent-Length: {length}\r\n\r\n"
    )
    return server.connect(head.encode() + begun)


def archive(server: Server) -> str:
    return server.submit(server.session(), "echo", {"class": "od"}, verb="archive")


def test_an_upload_that_stalls_is_ended(server: Server) -> None:
    before = server.cut("receiving")
    with upload(server, archive(server), 1000, b"x") as stalled:
        until(lambda: server.cut("receiving") > before)
        with pytest.raises((ConnectionResetError, IndexError)):
            status_of(stalled)


def test_a_request_has_two_uploads_at_a_time(server: Server) -> None:
    request_id = archive(server)
    # The third is refused when the other two are there, in whatever order they come.
    uploads = [upload(server, request_id, 1000, b"x") for _ in range(3)]
    refused = []
    until(lambda: refused.extend(readable(uploads)) or refused)
    assert status_of(refused[0]) == 429
    for connection in uploads:
        connection.close()


def readable(connections: list[socket.socket]) -> list[socket.socket]:
    found = []
    for connection in connections:
        connection.settimeout(0.01)
        try:
            if connection.recv(1, socket.MSG_PEEK):
                found.append(connection)
        except TimeoutError:
            continue
        finally:
            connection.settimeout(20)
    return found


def test_downloads_that_nobody_reads_are_few_and_small_and_are_ended(server: Server) -> None:
    session = server.session()
    link = server.link(server.poll(session, server.submit(session, "dummy", 64 * MIB)))
    head = f"GET {urlsplit(link).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert len(server.download(link)) == 64 * MIB
    before, already = server.memory(), server.cut("sending")
    held = [server.connect(head) for _ in range(DOWNLOADS)]
    assert [status_of(connection) for connection in held] == [200] * DOWNLOADS
    answer = requests.get(link, timeout=20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert f"{DOWNLOADS} results and uploads for the user whose result this is" in answer.json()["message"]
    until(lambda: server.cut("sending") >= already + DOWNLOADS)
    # At the peak one piece of each is sent and another one is read.
    assert server.memory() - before < DOWNLOADS * 3 * MIB
    assert len(server.download(link)) == 64 * MIB
    for connection in held:
        connection.close()


def test_memory_of_uploads_that_stall_is_bounded(s3: S3, tmp_path: Path) -> None:
    """Each has sent almost a part of 8 MiB: without a bound these were 130 MiB."""
    names = {"host": s3.host, "port": s3.port, "bucket": f"stalls-{free_port()}"}
    staging = {"s3": {**names, "access_key": s3.access_key, "secret_key": s3.secret_key}}
    frontend = {
        "connections": {"rate-time": 3},
        "transfers": {"upload-memory": "16M", "uploads-per-request": 16},
    }
    with Server(tmp_path / "data", frontend, staging=staging) as server:
        request_id = archive(server)
        before = server.memory()
        held = [upload(server, request_id, 9 * MIB, bytes(MIB)) for _ in range(16)]
        for connection in held:
            connection.setblocking(False)
        left = dict.fromkeys(held, 7 * MIB)
        until(lambda: sum(sent(left)) > 14 * MIB)
        # Those whose bytes are in memory stall, and are ended; the others wait for room.
        until(lambda: server.cut("receiving") >= 2)
        assert server.memory() - before < 48 * MIB
        for connection in held:
            connection.close()


def sent(left: dict[socket.socket, int]) -> Iterator[int]:
    """Send what the server takes; how much each has sent in all."""
    for connection, size in left.items():
        try:
            left[connection] -= connection.send(bytes(min(size, MIB)))
        except (BlockingIOError, ConnectionError):
            pass
        yield 7 * MIB - left[connection]
