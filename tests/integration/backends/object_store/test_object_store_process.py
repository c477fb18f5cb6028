"""The object store process over HTTP: its quota, slow and lost readers, its end."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable

from object_store_caller import GRIB, Caller, nothing_unfinished, reads, timed, worker_of

from polytope_server.object_store.server import end_dead_connections
from polytope_server.staging.names import new_object_name
from polytope_server.testing.waiting import until
from testbed.object_store import TOKEN


def test_the_quota_holds_for_announced_and_other_bodies(started: Callable[..., Caller]) -> None:
    call = started(quota="3M")
    first = call.put(b"x" * (2 << 20))
    for body in (b"x" * (2 << 20), iter([b"x" * (1 << 20)] * 2)):
        # It would fit if the other one were not there.
        assert call("PUT", new_object_name("r1", GRIB), data=body).status_code == 507
    answer = call("PUT", new_object_name("r1", GRIB), data=b"x" * (4 << 20))
    assert answer.status_code == 413
    assert int(answer.headers["X-Size"]) > int(answer.headers["X-Room"]) == 3 << 20
    assert call.names() == {first}
    assert nothing_unfinished(call.store)
    assert call("GET", "room").json() == {"room": 1 << 20}
    assert call("GET", f"room?size={1 << 20}").status_code == 200
    assert call("GET", f"room?size={(1 << 20) + 1}").status_code == 507
    assert call("GET", f"room?size={(3 << 20) + 1}").status_code == 413
    call.put(b"x" * (1 << 20))
    answer = call("PUT", new_object_name("r1", GRIB), data=b"x")
    assert (answer.status_code, "quota" in answer.text) == (507, True)


def test_the_quota_is_given_back(started: Callable[..., Caller]) -> None:
    call = started(quota="3M")
    for _ in range(3):
        name = call.put(b"x" * (2 << 20))
        assert call("DELETE", name).status_code == 204
        call.put(b"x" * (3 << 20), request="r2")
        assert call("DELETE", "r2/").json() == {"count": 1}


def test_the_quota_knows_what_is_there_at_the_start(started: Callable[..., Caller]) -> None:
    call = started(quota="3M")
    call.put(b"x" * (2 << 20))
    call.store.kill()
    call.store.start()
    assert call("PUT", new_object_name("r1", GRIB), data=b"x" * (2 << 20)).status_code == 507
    call.put(b"x" * (1 << 20))


async def test_stalled_readers_stall_no_other_reader(started: Callable[..., Caller]) -> None:
    call = started()
    size = 64 << 20
    name = call.put(iter([os.urandom(1 << 20)] * (size >> 20)))
    process = worker_of(call.store)
    alone = timed(call, name, size)
    before = process.memory_info().rss
    stalled = []
    try:
        for _ in range(50):
            client = socket.create_connection((call.store.host, call.store.port))
            client.sendall(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            stalled.append(client)
        for client in stalled:
            client.setblocking(True)
            assert client.recv(12) == b"HTTP/1.1 200"
        # Each has a chunk on its way to the system, and the next in waiting.
        assert process.memory_info().rss - before < 50 * (4 << 20)
        beside = min(timed(call, name, size) for _ in range(3))
        assert beside < 3 * alone + 0.5
        call.put(b"x" * 1_000_000)
        assert call("GET", "health").elapsed.total_seconds() < 1
        # Those of the fast reader are larger.
        assert process.memory_info().rss - before < (50 + 16) * (4 << 20)
    finally:
        for client in stalled:
            client.close()
    await until(lambda: not reads(process, name))


async def test_nothing_more_is_read_for_a_reader_that_left(started: Callable[..., Caller]) -> None:
    call = started()
    name = call.put()
    # Without a byte on the disk: to read it all would take much longer than the test.
    os.truncate(call.store.root / "objects" / name, 1 << 40)
    process = worker_of(call.store)
    with socket.create_connection((call.store.host, call.store.port)) as client:
        client.sendall(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        await until(lambda: reads(process, name))
    await until(lambda: not reads(process, name))


async def test_the_system_ends_a_connection_that_is_stuck() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 1_000_000)
                await writer.drain()
        except OSError:
            ended.set()
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    end_dead_connections(listener, 1)
    async with await asyncio.start_server(serve, sock=listener):
        with socket.create_connection(listener.getsockname()):
            await asyncio.wait_for(ended.wait(), 20)


async def test_it_ends_in_good_order(started: Callable[..., Caller]) -> None:
    call = started()
    name = call.put()
    call.store.process.send_signal(signal.SIGTERM)
    await until(lambda: not call.store.running)
    assert call.store.process.returncode == 0
    log = call.store.log.read_text()
    assert "the object store is ready" in log
    assert not re.search("Traceback|ERROR", log)
    assert TOKEN not in log
    assert name not in log


def test_it_listens_where_the_configuration_says(started: Callable[..., Caller]) -> None:
    call = started(host="localhost", bind_to=None)
    connections = worker_of(call.store).net_connections()
    assert {entry.laddr.ip for entry in connections if entry.status == "LISTEN"} <= {"127.0.0.1", "::1"}
