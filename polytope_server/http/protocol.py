"""HTTP on one connection: uvicorn's protocol, with bounds for what a client may make the server wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polytope_server.http.connections import Connections, Pace
from polytope_server.http.shell import CONNECTION, error_body
from polytope_server.http.tcp import acknowledged
from polytope_server.runtime.log import make_call_id

#: Bytes of a head; a credential of 8 KiB is the largest thing in it.
_LARGEST_HEAD = 64 << 10
#: Seconds in which the client may take the answer to what is no call, while what it still sends is dropped.
#: If the connection were closed with bytes unread, the system of the client would drop the answer.
_LINGER = 1.0
#: Bytes that are dropped so, at most.
_MOST_DROPPED = 1 << 20
#: Headers of a call that has a body.
_BODY_FIELDS = {b"content-length", b"transfer-encoding"}
_REFUSALS = {
    400: (b"Bad Request", "This is no call in HTTP/1.1 that the server understands"),
    431: (b"Request Header Fields Too Large", f"The head of the call has more than {_LARGEST_HEAD} bytes"),
}
#: Bytes for a client that it has not taken yet, from which on an answer pauses.
_HIGH_WATER = 64 << 10


class _RefusedError(Exception):
    """The head of a call is refused: the parser gives up."""


class _Parser(httptools.HttpRequestParser):
    """httptools', which stops after a call that asks for another protocol. No other one is spoken here."""

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        while data:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                data = data[stop.args[0] :]
            else:
                return


class HTTPProtocol(HttpToolsProtocol):
    """uvicorn's, which by itself waits for heads, bodies and readers without end, and keeps any head."""

    #: Bytes of the present head, in however many pieces it comes.
    _head = 0
    #: Bytes since the last head, or piece of a body, was complete.
    _kept = 0
    _received = 0
    _admitted = False
    #: Whether a body may pause, and an answer need not be taken: those at the other end are trusted.
    _trusted = False
    _in_message = False
    #: Whether the connection ends because of what is no call.
    _refused = False
    _head_since: float | None = None

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser = _Parser(self)
        self._bounds = connections
        self._receiving, self._sending = Pace(connections.limits), Pace(connections.limits)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        self._bounds.look_on(self.loop)
        if not self._bounds.admit(self, str(peer[0]) if isinstance(peer, tuple) else ""):
            transport.abort()
            return
        self._admitted = True
        self._head_since = self.loop.time()
        # What is left of a piece keeps all of it in memory: the next one comes when nothing is left.
        transport.set_write_buffer_limits(_HIGH_WATER, 0)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._admitted:
            self._bounds.leave(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._drop(len(data))
            return
        if self._head_since is None and not self._in_message:
            self._head_since = self.loop.time()
        self._kept += len(data)
        self._received += len(data)
        super().data_received(data)
        if self._kept > _LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(431)

    def _drop(self, size: int) -> None:
        self._kept += size
        if self._kept > _MOST_DROPPED:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take; uvicorn calls it, also after an error of a method here."""
        self._refuse(431 if self._head > _LARGEST_HEAD else 400)

    def _refuse(self, status: int) -> None:
        """End the connection, with this status if there is a call, or none, to which it can be the answer."""
        if self._refused:
            return
        self._refused = True
        is_answered = self.cycle is None or self.cycle.response_complete
        if self._in_message:  # the body of a call is broken
            if is_answered or self.cycle.response_started or self.pipeline:
                self.transport.close()
                return
            # The application gets no more of the body, and answers no more.
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        elif not is_answered:
            # The calls before it are answered first. uvicorn then closes the connection.
            self.cycle.keep_alive = False
            return
        self.transport.write(_make_refusal(status, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]
        self._head = 0
        self._trusted = False
        if self._head_since is None:  # after another one in the same data
            self._head_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_message:
            return  # after a body in chunks: too late for credentials, or anything else (RFC 9110, 6.5.1)
        super().on_header(name, value)
        self._count_head(len(name) + len(value))

    def _count_head(self, size: int) -> None:
        self._head += size
        if self._head > _LARGEST_HEAD:
            raise _RefusedError

    def on_headers_complete(self) -> None:
        self._kept = 0
        self._head_since = None
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1: it knows no interim answers
        if self.parser.should_upgrade() and _BODY_FIELDS.intersection(name for name, _ in self.headers):
            raise _RefusedError  # the parser would take the body for the next call
        super().on_headers_complete()
        self._in_message = True

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def trust(self) -> None:
        """Let the client of the present call be as slow as it likes."""
        self._trusted = True

    async def drained(self) -> None:
        """Wait until the client has taken most of what was sent, or is gone."""
        if self.flow.write_paused:
            await self.flow.drain()

    def fault(self, now: float) -> str:
        """Why the connection is to end, see :class:`polytope_server.http.connections.Connection`."""
        if self._is_late_with_head(now):
            return "head"
        if self._trusted:
            return ""
        if self._receiving.is_too_slow(now, self._owes_body(), lambda: self._received):
            return "receiving"
        has_to_read = self.transport.get_write_buffer_size() > 0 and self._taken() > 0
        return "sending" if self._sending.is_too_slow(now, has_to_read, self._taken) else ""

    def _is_late_with_head(self, now: float) -> bool:
        if self._head_since is None or self.transport.is_closing():
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_since = now  # its turn comes after the answer
        return now - self._head_since > self._bounds.limits.head_time

    def _owes_body(self) -> bool:
        """Whether the client is to send the rest of a body, wanted or not, and this process would take it."""
        return self._in_message and not self.flow.read_paused and not self.cycle.waiting_for_100_continue

    def _taken(self) -> int:
        """The bytes that the system of the client has taken so far."""
        return acknowledged(self.transport.get_extra_info("socket"))

    def cut(self) -> None:
        """End the connection at once."""
        self.transport.abort()


def _make_refusal(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer to what is no call: an error as any other, and no further call on the connection."""
    phrase, message = _REFUSALS[status]
    body = error_body(message)
    lines = [b"HTTP/1.1 %d %b" % (status, phrase)]
    lines += [b"%b: %b" % header for header in headers]
    lines += [
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"x-request-id: " + make_call_id().encode(),
        b"connection: close",
    ]
    return b"\r\n".join([*lines, b"", body])
