"""What a client may make the server wait for, on real sockets and with a clock of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from polytope_server.http import protocol
from polytope_server.http.connections import ConnectionLimits, Connections
from polytope_server.http.protocol import HTTPProtocol
from polytope_server.http.tcp import acknowledged
from polytope_server.testing.waiting import until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#: More than the sockets of both ends take.
LARGE = 64 << 20


class Observed(HTTPProtocol):
    """Counts what has come in."""

    received = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received += len(data)


class Server:
    """A server of one application on a loop-back socket."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.reasons: list[str] = []
        self.connections = Connections(limits)
        self.connections.on_cut = self.reasons.append
        self.respond: Callable[[Any, Any, Any], Awaitable[None]] = answer
        #: Both ends of each connection.
        self.writers: list[asyncio.StreamWriter] = []
        self.accepted: list[Observed] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.respond(scope, receive, send)

    async def open(self) -> None:
        config = Config(
            self.app,
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        config.load()

        def accept() -> Observed:
            state: Any = {"config": config, "server_state": ServerState(), "app_state": {}}
            self.accepted.append(Observed(connections=self.connections, **state))
            return self.accepted[-1]

        self._server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)

    async def connect(self, sent: bytes = b"") -> asyncio.StreamReader:
        before = len(self.connections), len(self.reasons)
        address = self._server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address[:2], limit=1 << 16)
        self.writers.append(writer)
        await until(lambda: (len(self.connections), len(self.reasons)) != before)
        await self.send(sent)
        return reader

    async def send(self, data: bytes) -> None:
        """Send on the latest connection; returns when the server has it."""
        if data:
            expected = self.held.received + len(data)
            self.writers[-1].write(data)
            await until(lambda: self.held.received == expected)

    @property
    def held(self) -> Observed:
        """The server's end of the latest connection."""
        return self.accepted[-1]

    def later(self, seconds: float) -> None:
        """What happens when that many seconds have passed."""
        self.connections.look(asyncio.get_running_loop().time() + seconds)

    async def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self._server.close()
        await until(lambda: not len(self.connections))


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Take the whole body, and answer."""
    while (await receive()).get("more_body"):
        pass
    await send_answer(send)


async def send_answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    # No look but those of the tests.
    made = Server(ConnectionLimits(total=3, per_address=3))
    made.connections.look_on = lambda loop: None  # type: ignore[method-assign]
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 20) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"", HEAD[:-1], b"\r\n"])
async def test_a_connection_without_a_head_is_ended(server: Server, sent: bytes) -> None:
    reader = await server.connect(sent)
    server.later(19)
    assert len(server.connections) == 1
    server.later(21)
    assert await is_closed(reader)
    assert server.reasons == ["head"]


@pytest.mark.parametrize("begun", [b"G", b"\r\n"])
async def test_the_next_head_has_the_same_time(server: Server, begun: bytes) -> None:
    reader = await server.connect(HEAD)
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    server.later(70)  # idle: that has a time of its own
    assert len(server.connections) == 1
    await server.send(begun)
    server.later(21)
    assert await is_closed(reader)
    assert server.reasons == ["head"]


async def test_a_call_that_is_held_may_take_as_long_as_it_likes(server: Server) -> None:
    released = asyncio.Event()

    async def hold(scope: Any, receive: Any, send: Any) -> None:
        await released.wait()
        await send_answer(send)

    server.respond = hold
    reader = await server.connect(HEAD + HEAD[:5])
    for seconds in range(0, 400, 10):
        server.later(seconds)
    released.set()
    assert await reader.readexactly(len(ANSWER)) == ANSWER


async def test_a_body_that_dribbles_is_ended(server: Server) -> None:
    reader = await server.connect(HEAD.replace(b"GET", b"POST")[:-2] + b"Content-Length: 1000000\r\n\r\n")
    server.later(0)
    await server.send(b"x")
    server.later(61)
    assert await is_closed(reader)
    assert server.reasons == ["receiving"]


async def test_a_body_that_is_not_wanted_is_ended_too(server: Server) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send_answer(send)

    server.respond = refuse
    reader = await server.connect(HEAD.replace(b"GET", b"POST")[:-2] + b"Content-Length: 1000000\r\n\r\n")
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    server.later(0)
    await server.send(b"x")
    server.later(61)
    assert await is_closed(reader)
    assert server.reasons == ["receiving"]


CHUNKS = HEAD.replace(b"GET", b"POST")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_a_body_that_breaks_after_its_call_was_answered_gets_no_second_answer(server: Server) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send_answer(send)

    server.respond = refuse
    reader = await server.connect(CHUNKS)
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    server.writers[-1].write(b"no chunk\r\n")
    assert await is_closed(reader)


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
async def test_a_body_that_breaks_ends_the_work_for_its_call(
    server: Server, expect: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def take(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["type"] == "http.request":
            pass
        seen.append(event["type"])
        await send_answer(send)  # the client is gone

    server.respond = take
    reader = await server.connect(CHUNKS[:-2] + expect + b"\r\nno chunk\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    await until(lambda: bool(seen))
    assert seen == ["http.disconnect"]
    assert "Exception" not in caplog.text


async def test_a_call_that_is_held_is_answered_though_no_call_follows_it(server: Server) -> None:
    released = asyncio.Event()

    async def hold(scope: Any, receive: Any, send: Any) -> None:
        await released.wait()
        await send_answer(send)

    server.respond = hold
    reader = await server.connect(HEAD + b"no call\r\n\r\n")
    released.set()
    assert await reader.read() == ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


async def test_a_call_after_one_that_asks_for_another_protocol_is_answered(server: Server) -> None:
    reader = await server.connect(HEAD[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    server.writers[-1].write(HEAD)
    assert await reader.readexactly(len(ANSWER)) == ANSWER


async def test_a_body_that_comes_at_the_least_rate_is_taken(server: Server) -> None:
    count = 0

    async def take(scope: Any, receive: Any, send: Any) -> None:
        nonlocal count
        more = True
        while more:
            event = await receive()
            count += len(event["body"])
            more = event["more_body"]
        await send_answer(send)

    server.respond = take
    reader = await server.connect(HEAD.replace(b"GET", b"POST")[:-2] + b"Content-Length: 366000\r\n\r\n")
    for minute in range(6):
        server.later(minute * 60)
        await server.send(b"x" * 61_000)
    await until(lambda: count == 366_000)
    assert await reader.readexactly(len(ANSWER)) == ANSWER


async def send_much(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(LARGE >> 20):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        if "polytope.connection" in scope:
            await scope["polytope.connection"].drained()
    await send({"type": "http.response.body", "body": b""})


async def test_an_answer_that_is_not_taken_is_ended(server: Server) -> None:
    server.respond = send_much
    await server.connect(HEAD)
    held = server.held
    await until(lambda: held.flow is not None and held.flow.write_paused)
    # A reader may have megabytes in the buffers of the system before it stalls.
    await until(lambda: _is_still(held))
    server.later(0)
    server.later(59)
    assert not server.reasons
    server.later(61)
    await until(lambda: not len(server.connections))
    assert server.reasons == ["sending"]


def taken_by_client(held: Observed) -> int:
    return acknowledged(held.transport.get_extra_info("socket"))


_SEEN: dict[int, tuple[int, int]] = {}


def _is_still(held: Observed) -> bool:
    """Whether the system of the client has taken nothing in the last looks."""
    taken = taken_by_client(held)
    before, same = _SEEN.get(id(held), (-1, 0))
    _SEEN[id(held)] = (taken, same + 1 if taken == before else 0)
    return same > 20


async def test_an_answer_that_is_taken_slowly_goes_on(server: Server) -> None:
    server.respond = send_much
    reader = await server.connect(HEAD)
    held = server.held
    for minute in range(5):
        server.later(minute * 60)
        before = taken_by_client(held)
        while taken_by_client(held) < before + 60_000:
            assert await reader.read(1 << 16)
    assert not server.reasons


@pytest.mark.parametrize(
    "head", [b"GET \xff HTTP/1.1\r\n\r\n", b"POST http://[ HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
async def test_what_is_no_head_disturbs_no_other_connection(server: Server, head: bytes) -> None:
    held = await server.connect()
    reader = await server.connect()
    server.writers[-1].write(head)
    assert await reader.readuntil(b" ") == b"HTTP/1.1 "
    server.later(0)
    server.later(100)
    assert await is_closed(held)


async def test_a_system_that_tells_nothing_ends_no_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "acknowledged", lambda connection: 0)
    server.respond = send_much
    await server.connect(HEAD)
    held = server.held
    await until(lambda: held.flow is not None and held.flow.write_paused)
    for minute in range(10):
        server.later(minute * 60)
    assert not server.reasons


async def test_those_who_are_trusted_may_pause(server: Server) -> None:
    async def trusting(scope: Any, receive: Any, send: Any) -> None:
        scope["polytope.connection"].trust()
        await answer(scope, receive, send)

    server.respond = trusting
    reader = await server.connect(HEAD.replace(b"GET", b"POST")[:-2] + b"Content-Length: 3\r\n\r\n")
    await server.send(b"x")
    for hour in range(10):
        server.later(hour * 3600)
    await server.send(b"yz")
    assert await reader.readexactly(len(ANSWER)) == ANSWER


async def test_one_connection_too_many_is_closed_at_once(server: Server) -> None:
    for _ in range(3):
        await server.connect()
    assert await is_closed(await server.connect())
    assert (server.reasons, len(server.connections)) == (["process"], 3)


async def test_a_reader_that_stalls_holds_one_piece() -> None:
    """The next is read when those before are taken, so that what waits is bounded."""
    made = Server(ConnectionLimits(total=3, per_address=3))
    await made.open()
    made.respond = send_much
    await made.connect(HEAD)
    held = made.held
    await until(lambda: held.flow is not None and held.flow.write_paused)
    await until(lambda: _is_still(held))
    # A piece, and the little of the one before that the transport does not count as waiting.
    assert held.transport.get_write_buffer_size() < 3 << 19
    await made.close()


def test_the_bytes_that_were_acknowledged_are_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
        with client, served:
            served.sendall(b"x" * 1000)
            assert client.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
            assert acknowledged(served) == 1000


def test_of_what_is_no_tcp_connection_nothing_is_known() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert acknowledged(one) == 0
