"""HTTP on one connection: uvicorn's protocol, with bounds for what a client may make the server wait for."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polytope_server.http.connections import Connections, Pace
from polytope_server.http.shell import CONNECTION
from polytope_server.http.tcp import acknowledged

#: Bytes of a head; a credential of 8 KiB is the largest thing in it.
_LARGEST_HEAD = 64 << 10
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
#: Bytes for a client that it has not taken yet, from which on an answer pauses.
_HIGH_WATER = 64 << 10


class HTTPProtocol(HttpToolsProtocol):
    """uvicorn's, which by itself waits for heads, bodies and readers without end, and keeps any head."""

    #: Bytes since the last head, or piece of a body, was complete.
    _kept = 0
    _received = 0
    _admitted = False
    #: Whether a body may pause, and an answer need not be taken: those at the other end are trusted.
    _trusted = False
    _in_message = False
    _head_since: float | None = None

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
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
        if self._head_since is None and not self._in_message:
            self._head_since = self.loop.time()
        self._kept += len(data)
        self._received += len(data)
        super().data_received(data)
        if self._kept > _LARGEST_HEAD and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]
        self._trusted = False
        if self._head_since is None:  # after another one in the same data
            self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._kept = 0
        self._head_since = None
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
