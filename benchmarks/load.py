"""A load generator that costs little: else it measures itself, on a machine that it shares with the server.

Requests are bytes that were built before; of an answer only the status, the length and the body are looked
at. What a connection does is a generator (a *session*): it yields a request and is sent the reply, without a
future or a task for each call.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import uvloop

HOST = "127.0.0.1"
#: Beyond the time of a round, for replies that are on their way; after that the round has failed.
_OVERTIME = 60.0
_RECEIVE_SIZE = 1 << 20
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class LoadError(RuntimeError):
    """A server did not answer as it should, so there is nothing to measure."""


class Reply(NamedTuple):
    """An answer: its status, its head as it came, and its body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of a header, by its name in lower case; empty if it is missing."""
        start = self.head.lower().find(b"\r\n" + name + b":")
        if start < 0:
            return b""
        start += len(name) + 3
        end = self.head.find(b"\r\n", start)
        return self.head[start : end if end >= 0 else None].strip()


#: What one connection does: it yields requests, and gets the replies.
Session = Generator[bytes, Reply, None]


def message(method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None) -> bytes:
    """The bytes of a request, with `body` as JSON if it is given."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {"Host": "localhost", **(headers or {})}.items()]
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass
class Round:
    """Some seconds, or some requests, whichever end first; sessions ask it whether to go on."""

    seconds: float
    most: int = 1_000_000
    count: int = 0
    times: list[float] = field(default_factory=list)
    _begun: int = 0
    _start: float = 0.0

    def start(self) -> None:
        """The time begins to run."""
        self._start = time.perf_counter()

    def more(self) -> bool:
        """Whether to do one more; the caller then does it."""
        if self._begun >= self.most or time.perf_counter() - self._start >= self.seconds:
            return False
        self._begun += 1
        return True

    def done(self, seconds: float | None = None) -> None:
        """One more is complete."""
        self.count += 1
        if seconds is not None:
            self.times.append(seconds)


def parse(buffer: bytes) -> tuple[Reply | None, bytes]:
    """The first reply in the buffer, None while it is incomplete, and the rest of the buffer."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None, buffer
    head = buffer[:end]
    bare = Reply(int(head[9:12]), head, b"")
    body, after = end + 4, end + 4 + int(bare.header(b"content-length") or 0)
    if bare.header(b"transfer-encoding") == b"chunked":
        # Kept as it came, in chunks; JSON holds no line ends, so that this is the last one.
        last = buffer.find(_LAST_CHUNK, end)
        after = last + len(_LAST_CHUNK) if last >= 0 else len(buffer) + 1
    if len(buffer) < after:
        return None, buffer
    return bare._replace(body=buffer[body:after]), buffer[after:]


class Connection(asyncio.Protocol):
    """One connection, which does what its session says."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: the transports of uvloop are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """Send the first request."""
        self._step(None)

    def data_received(self, data: bytes) -> None:
        reply, self._buffer = parse(self._buffer + data)
        if reply is not None:
            self._step(reply)

    def _step(self, reply: Reply | None) -> None:
        assert self._transport is not None
        try:
            # PERF: the next request leaves here, in the callback that has brought the reply.
            self._transport.write(next(self._session) if reply is None else self._session.send(reply))
        except StopIteration:
            self._finish(None)
        except Exception as error:
            self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error) if error else self.ended.set_result(None)
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(LoadError(f"the server closed a connection: {error}"))


def run(port: int, round_: Round, sessions: list[Session]) -> float:
    """Let all sessions run to their end, each on a connection of its own; returns the seconds that it took.

    Raises LoadError if they do not end in time, and whatever a session raises.
    """
    with _no_collection():
        return uvloop.run(_run(port, round_, sessions))


async def _run(port: int, round_: Round, sessions: list[Session]) -> float:
    loop = asyncio.get_running_loop()
    connections = []
    for session in sessions:
        made = await loop.create_connection(partial(Connection, session), HOST, port)
        connections.append(made[1])
    round_.start()
    started = time.perf_counter()
    try:
        async with asyncio.timeout(round_.seconds + _OVERTIME):
            for connection in connections:
                connection.begin()
            await asyncio.gather(*(connection.ended for connection in connections))
    except TimeoutError:
        raise LoadError(f"no answer within {_OVERTIME:g} seconds") from None
    return time.perf_counter() - started


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection in between; nothing here makes cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rate(port: int, round_: Round, sessions: list[Session]) -> float:
    """How many each second the sessions complete together."""
    seconds = run(port, round_, sessions)
    return round_.count / seconds


def check(reply: Reply, status: int) -> Reply:
    """The reply, if it has that status. Raises LoadError."""
    if reply.status != status:
        raise LoadError(f"HTTP {reply.status} instead of {status}: {reply.body[:500]!r}")
    return reply


def request_id(reply: Reply) -> str:
    """The id of the request that was submitted."""
    return reply.header(b"location").rpartition(b"/")[2].decode()


def repeat(round_: Round, request: bytes, status: int = 200) -> Session:
    """The same request again and again."""
    while round_.more():
        check((yield request), status)
        round_.done()


def each(round_: Round, requests: list[bytes], status: int = 200) -> Session:
    """Those requests in turn, again and again."""
    place = 0
    while round_.more():
        check((yield requests[place % len(requests)]), status)
        place += 1
        round_.done()


def download(port: int, path: str) -> tuple[int, float]:
    """The size of a body and the seconds from the request to its last byte; the bytes are thrown away.

    Blocking, into one buffer: the cheapest way to take bytes in, so that the server is what is measured.
    """
    with socket.create_connection((HOST, port), timeout=_OVERTIME) as connection:
        buffer = bytearray(_RECEIVE_SIZE)
        started = time.perf_counter()
        # With the port: addresses that are signed are so together with it.
        connection.sendall(message("GET", path, {"Host": f"{HOST}:{port}"}))
        head, size = _head(connection)
        received, wanted = size, int(head.header(b"content-length"))
        check(head, 200)
        while received < wanted:
            count = connection.recv_into(buffer)
            if not count:
                raise LoadError(f"the download ended after {received} of {wanted} bytes")
            received += count
        return received, time.perf_counter() - started


def _head(connection: socket.socket) -> tuple[Reply, int]:
    """The head of the reply, and how many bytes of the body came with it."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        received = connection.recv(1 << 16)
        if not received:
            raise LoadError("the server closed the connection without an answer")
        data += received
    return Reply(int(data[9:12]), data[:end], b""), len(data) - end - 4
