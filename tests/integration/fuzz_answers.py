"""Sending generated calls, and judging the answers."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fuzz_calls import SEED
from fuzz_material import Call

#: A call that takes longer counts as a hang.
SECONDS = 20.0
#: A call that may be incomplete is ended from this side after so long without an answer.
IDLE = 0.25
#: The same after an answer, which another one may follow.
IDLE_AFTER_ANSWER = 0.02


@dataclass
class Outcome:
    """What went wrong, by kind; each with the number of the call and what was sent."""

    statuses: Counter[int] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, number: int, call: Call, answer: bytes | str) -> None:
        text = f"call {number} of seed {SEED}: sent {call.data[:1500]!r}, got {answer[:500]!r}"
        self.problems.setdefault(kind, []).append(text)


class Connection:
    """A kept connection that reads answers with as little trust as it can."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def ask(self, call: Call) -> bytes:
        """The whole answer to a proper call. Raises TimeoutError, and ConnectionError if there is none."""
        connection = self._connect()
        connection.settimeout(SECONDS)
        self._send(connection, call.data)
        head = self._until(b"\r\n\r\n")
        fields = dict(re.findall(rb"\r\n([^:\r]+): *([^\r]*)", head.lower()))
        status = int(head[9:12])
        body = b""
        if not call.head and status not in (204, 304):
            chunked = fields.get(b"transfer-encoding") == b"chunked"
            body = b"".join(self._chunks()) if chunked else self._take(int(fields[b"content-length"]))
        if fields.get(b"connection") == b"close":
            self.close()
        return head + body

    def throw(self, call: Call) -> bytes:
        """Whatever comes back for an odd call until the server closes, or has nothing more to say."""
        self.close()
        connection = self._connect()
        try:
            self._send(connection, call.data)
            if call.unfinished:
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(SECONDS if call.unfinished else IDLE)
            received = bytearray()
            while True:
                try:
                    chunk = connection.recv(1 << 20)
                except TimeoutError:
                    if connection.gettimeout() == SECONDS:
                        raise
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(SECONDS)
                    continue
                if not chunk:
                    return bytes(received)
                received += chunk
                if connection.gettimeout() == IDLE:
                    connection.settimeout(IDLE_AFTER_ANSWER)
        except ConnectionError:
            return b""
        finally:
            self.close()

    @staticmethod
    def _send(connection: socket.socket, data: bytes) -> None:
        try:
            connection.sendall(data)
        except ConnectionError:
            pass  # the server answered before the end and closed: what it said is still there

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(end)
        return head + end

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _chunks(self) -> Iterator[bytes]:
        """The body of an answer whose length was not known when it began."""
        while size := int(self._until(b"\r\n"), 16):
            yield self._take(size)
            self._take(2)
        self._take(2)

    def _receive(self) -> None:
        assert self._socket is not None
        chunk = self._socket.recv(1 << 20)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += chunk


SECURITY = [
    b"cache-control: no-cache, no-store", b"x-content-type-options: nosniff", b"x-frame-options: deny",
    b"x-xss-protection: 1; mode=block",
]  # fmt: skip
TRACES = [b"Traceback (most recent", b'File "/', b"site-packages", b"polytope_server/"]


def judge(outcome: Outcome, number: int, call: Call, answer: bytes, secret: list[bytes]) -> None:
    """Note what is wrong with an answer."""
    statuses = [
        int(found) for found in re.findall(rb"(?:^|\r\n\r\n|[^\r]\n|[}\w.])HTTP/1\.1 (\d{3}) ", answer)
    ]
    outcome.statuses.update(statuses)
    unsupported = b"/auth/" in call.data or b"Transfer-Encoding: " in call.data
    if any(status >= 500 and not (status == 501 and unsupported) for status in statuses):
        outcome.note("5xx", number, call, answer)
    if any(word in answer for word in TRACES):
        outcome.note("stack trace", number, call, answer)
    if any(word in answer for word in secret):
        outcome.note("data of another user", number, call, answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    if call.rough or (statuses[:1] == [400] and b"This is no call in HTTP/1.1" in body):
        return
    if not all(line in head.lower() for line in SECURITY):
        outcome.note("missing header", number, call, answer)
    if statuses[0] >= 400 and not call.head and not flat(body):
        outcome.note("odd error body", number, call, answer)


def flat(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and list(found) == ["message"] and isinstance(found["message"], str)
