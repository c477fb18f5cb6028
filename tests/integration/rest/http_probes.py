"""Heads and bodies as the public probes of HTTP servers send them, and what reads the answers.

The cases are those of Http11Probe and h1spec, as far as they are about this server; the bytes are our own.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from contextlib import closing
from typing import IO, NamedTuple

from answers import ALICE

HOST, JSON = "Host: x", "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
TEST = "GET /api/v1/test HTTP/1.1"
#: A submission that is read, and not stored: there is no such verb.
SUBMIT, BODY = "POST /api/v1/requests/echo HTTP/1.1", b'{"verb": "probe", "request": "x"}'
READ = "Transfer type probe not supported"
LENGTH = f"Content-Length: {len(BODY)}"
#: As in a head that ends: what comes after it on the connection.
NEXT = b"GET /api/v1/test HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
END = b"0\r\n\r\n"


class Answer(NamedTuple):
    """An answer, or an interim one."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def head(line: str, *headers: str) -> bytes:
    """The head of a call."""
    return "".join(f"{text}\r\n" for text in (line, *headers, "")).encode("latin-1")


def get(*headers: str, line: str = TEST) -> bytes:
    """A GET with these headers besides Host."""
    return head(line, HOST, *headers)


def post(*headers: str, body: bytes = BODY, line: str = SUBMIT) -> bytes:
    """A submission with these headers about its body."""
    return head(line, HOST, JSON, f"Authorization: {ALICE}", *headers) + body


def chunk(
    data: bytes = BODY, size: bytes = b"%x" % len(BODY), extension: bytes = b"", end: bytes = b"\r\n"
) -> bytes:
    """One chunk of a body."""
    return size + extension + b"\r\n" + data + end


def in_chunks(*trailers: str, **parts: bytes) -> bytes:
    """A submission whose body comes in one chunk, which :func:`chunk` makes of the parts."""
    return post(CHUNKED, body=chunk(**parts) + head("0", *trailers))


def exchange(port: int, pieces: Iterable[bytes], method: str = "GET") -> list[Answer]:
    """All answers on a new connection until the server ends it, to what is sent in these pieces."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        with connection.makefile("rb") as file:
            return list(iter(lambda: read_answer(file, method), None))  # type: ignore[arg-type]


def read_answer(file: IO[bytes], method: str = "GET") -> Answer | None:
    """The next answer, None if there is none."""
    line = file.readline()
    if not line:
        return None
    headers = http.client.parse_headers(file)  # type: ignore[arg-type]
    length = 0 if method == "HEAD" else int(headers.get("Content-Length", 0))
    return Answer(int(line.split()[1]), headers, file.read(length))


#: No HTTP, or ambiguous: refused, and nothing further is read on the connection.
REFUSED = {
    "a line feed ends the first line": head(TEST + "\n" + HOST),
    "a line feed ends a header": head(TEST, f"{HOST}\nX-Test: y"),
    "a carriage return ends the first line": head(f"{TEST}\r{HOST}"),
    "a carriage return within the head": head(TEST, HOST, "\rSome-Header: Test"),
    "a carriage return within a value": post(LENGTH, "X-Test: val\rue"),
    "a header goes on in the next line": get("X-Test: value", " continued"),
    "a space before the colon": get("X-Test : value"),
    "a line of white space before the headers": head(TEST, " ", HOST),
    "a header without a name": get(": value"),
    "a header without a colon": get("NoColonHere"),
    "a bracket in a name": get("Bad[Name: value"),
    "brackets in a name": get("X-Invalid[]: test"),
    "no ASCII in a name": get("X-T\xc3\xabst: value"),
    "a control character in a value": get("X-Test: te\x07st"),
    "several control characters in a value": get("X-Test: abc\x07\x08\x0bdef"),
    "NUL in a value": get("X-Test: a\0b"),
    "NUL in the target": get(line="GET /\0test HTTP/1.1"),
    "no ASCII in the target": get(line="GET /caf\xc3\xa9 HTTP/1.1"),
    "a space in the target": get(line="GET /pa th HTTP/1.1"),
    "a tab after the method": get(line="GET\t/api/v1/test HTTP/1.1"),
    "no target": get(line="GET HTTP/1.1"),
    "no version": head("GET / "),
    "version 9.9": get(line="GET /api/v1/test HTTP/9.9"),
    "version 1": get(line="GET /api/v1/test HTTP/1"),
    "version 2.0": get(line="GET /api/v1/test HTTP/2.0"),
    "version 1.2": get(line="GET /api/v1/test HTTP/1.2"),
    "version 01.01": get(line="GET /api/v1/test HTTP/01.01"),
    "a space in the version": get(line="GET /api/v1/test HTTP/ 1.1"),
    "a version in small letters": get(line="GET /api/v1/test http/1.1"),
    "a method in small letters": get(line="get /api/v1/test HTTP/1.1"),
    "an unknown method": get(line="FOOBAR /api/v1/test HTTP/1.1"),
    "something before the method": get(line="Extra lineGET /api/v1/test HTTP/1.1"),
    "a method of 100 KB": get(line="A" * 100_000 + " /api/v1/test HTTP/1.1"),
    "a body of a call that asks for HTTP/2": post(LENGTH, "Connection: Upgrade", "Upgrade: h2c"),
    "CONNECT": head("CONNECT example.org:443 HTTP/1.1", "Host: example.org:443"),
    "bytes that are no text": bytes(range(1, 256)),
    "white space instead of a call": b"   \r\n\r\n",
    "a length that is a word": post("Content-Length: abc"),
    "a length with a sign": post("Content-Length: +33"),
    "a negative length": post("Content-Length: -33"),
    "a negative length of many digits": post("Content-Length: -123456789123456789123456789"),
    "minus zero": post("Content-Length: -0"),
    "a length beyond 64 bits": post("Content-Length: 99999999999999999999"),
    "a length in hexadecimal digits": post("Content-Length: 0x21"),
    "a length in octal digits": post("Content-Length: 0o41"),
    "a length with an underscore": post("Content-Length: 3_3"),
    "a length with a space": post("Content-Length: 3 3"),
    "two lengths": post("Content-Length: 5", LENGTH),
    "the same length twice": post(LENGTH, LENGTH),
    "two lengths in one header": post(f"Content-Length: 5, {len(BODY)}"),
    "the same length twice in one header": post(f"Content-Length: {len(BODY)}, {len(BODY)}"),
    "a length and chunks": post(f"Content-Length: {len(chunk()) + 5}", CHUNKED, body=chunk() + END),
    "chunks and a length": post(CHUNKED, "Content-Length: 4", body=END),
    "chunks and a length in HTTP/1.0": post(CHUNKED, LENGTH, line=SUBMIT.replace("1.1", "1.0")),
    "xchunked and a length": post("Transfer-Encoding: xchunked", LENGTH),
    "xchunked": post("Transfer-Encoding: xchunked", body=chunk() + END),
    "identity and a length": post("Transfer-Encoding: identity", LENGTH),
    "gzip": post("Transfer-Encoding: gzip"),
    "gzip after chunked": post("Transfer-Encoding: chunked, gzip", body=END),
    "chunked with a parameter": post("Transfer-Encoding: chunked;ext=val", body=chunk() + END),
    "two transfer codings and a length": post(CHUNKED, "Transfer-Encoding: identity", LENGTH),
    "chunked twice": post(CHUNKED, CHUNKED, body=chunk() + END),
    "no transfer coding": post("Transfer-Encoding: ", LENGTH),
    "a comma before chunked, and a length": post("Transfer-Encoding: , chunked", LENGTH),
    "a vertical tab before chunked": post("Transfer-Encoding: \x0bchunked", LENGTH),
    "a form feed before chunked": post("Transfer-Encoding: \x0cchunked", LENGTH),
    "NUL after chunked": post("Transfer-Encoding: chunked\0", LENGTH),
    "chunked in the next line": post("Transfer-Encoding:", " chunked", LENGTH),
    "a space before the colon of a transfer coding": post("Transfer-Encoding : chunked", LENGTH),
    "a semicolon after a chunk's size": in_chunks(extension=b";"),
    "an extension of a chunk that is no token": in_chunks(extension=b";bad[=x"),
    "NUL in an extension": in_chunks(extension=b";\0ext"),
    "a carriage return in an extension": in_chunks(extension=b";a\rX"),
    "a line feed ends an extension": post(CHUNKED, body=b"21;\n" + BODY + b"\r\n" + END),
    "a carriage return ends a chunk's size": post(CHUNKED, body=b"21\r" + BODY + b"\r\n" + END),
    "a chunk's size with 0x": in_chunks(size=b"0x21"),
    "a chunk's size with a sign": in_chunks(size=b"+21"),
    "a negative size of a chunk": in_chunks(size=b"-1"),
    "a chunk's size with an underscore": in_chunks(size=b"2_1"),
    "a chunk's size before a space": in_chunks(extension=b" "),
    "a chunk's size after a space": in_chunks(size=b" 21"),
    "a chunk's size beyond 64 bits": in_chunks(size=b"fffffffffffffffff"),
    "a chunk without an end": in_chunks(end=b""),
    "a chunk of more than its size": in_chunks(data=BODY + b"!!"),
    "a line feed ends a chunk": in_chunks(end=b"\n"),
    "a line feed ends the trailers": post(CHUNKED, body=chunk() + b"0\r\n\n"),
    "a length in the trailers": in_chunks("Content-Length: 50"),
    "a transfer coding in the trailers": in_chunks(CHUNKED),
}  # fmt: skip

#: HTTP, but a call that no server may take. It is clear where it ends.
FAULTS = {
    "no Host": head(TEST),
    "no Host, and a body": head(TEST, "Content-Length: 5") + b"hello",
    "two Hosts": get("Host: example.org"),
    "the same Host twice": get(HOST),
    "an empty Host": head(TEST, "Host: "),
    "a Host with a user": head(TEST, "Host: user@example.org"),
    "a Host with a path": head(TEST, "Host: example.org/path"),
    "a Host with a comma": head(TEST, "Host: example.org, other.example.org"),
    "a Host with a space": head(TEST, "Host: example org"),
    "a Host whose port is a word": head(TEST, "Host: example.org:http"),
    "a Host with a long port": head(TEST, "Host: example.org:123456"),
    "a Host with half a bracket": head(TEST, "Host: [::1"),
    "a Host of two lines": head(TEST, "Host: example.org\tX"),
    "an asterisk as the target of GET": get(line="GET * HTTP/1.1"),
}

#: Calls that a server must take.
SERVED = {
    "a call": get(),
    "a small h, a tab, an empty header": head(TEST, "hoSt:\texample.org", "empty:"),
    "an empty header before a space": get("X-Empty-Header: "),
    "empty lines before the first": b"\r\n\r\n" + get(),
    "two spaces after the method": get(line="GET  /api/v1/test HTTP/1.1"),
    "a whole address as the target": get(line="GET http://other.example.org/api/v1/test HTTP/1.1"),
    "a fragment": get(line="GET /api/v1/test#fragment HTTP/1.1"),
    "an address of IPv6": head(TEST, "Host: [::1]:5000"),
    "a name of a container": head(TEST, "Host: polytope_frontend:5000"),
    "a body of a GET": get("Content-Length: 5") + b"hello",
    "an unknown Expect": get("Expect: 200-ok"),
    "an upgrade to WebSocket": get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "an upgrade without Connection": get("Upgrade: websocket"),
    "an upgrade to something unknown": get("Connection: Upgrade", "Upgrade: made-up/1.0"),
    "an upgrade to HTTP/2": get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"),
}  # fmt: skip

#: Submissions whose bodies a server must read.
READABLE = {
    "a length": post(LENGTH),
    "a length with zeros": post(f"Content-Length: 0{len(BODY)}"),
    "a length between spaces": post(f"Content-Length:  {len(BODY)} "),
    "one chunk": in_chunks(),
    "two chunks, capital letters": post(CHUNKED, body=chunk(BODY[:10], b"A") + chunk(BODY[10:], b"17") + END),
    "an extension of a chunk": in_chunks(extension=b";ext=value"),
    "a large C": post("Transfer-Encoding: Chunked", body=chunk() + END),
    "a comma before chunked": post("Transfer-Encoding: , chunked", body=chunk() + END),
    "a tab before chunked": post("Transfer-Encoding:\tchunked", body=chunk() + END),
    "trailers": in_chunks("X-Checksum: abc"),
    "a Host in the trailers": in_chunks("Host: other.example.org"),
    "another header with an underscore": post(LENGTH, "Transfer_Encoding: chunked"),
    "a range": post(LENGTH, "Range: bytes=0-10"),
}  # fmt: skip

#: More than a head may have.
TOO_LARGE = {
    "a value of 100 KB": get("X-Big: " + "B" * 100_000),
    "a name of 100 KB": get("B" * 100_000 + ": value"),
    "a target of 100 KB": get(line=f"GET /{'A' * 100_000} HTTP/1.1"),
    "10,000 headers": get(*(f"X-H-{number}: value" for number in range(10_000))),
}
