"""10,000 generated calls: no 5xx, no hang, no stack trace, no data of another user.

FUZZ_SEED=<number> takes another seed, FUZZ_COUNT=<number> more or fewer calls. A call depends on the seed
and its number only (and on the ids, which differ from run to run).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import secrets
import socket
import string
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from caller import Caller

from testbed.server import CONFIG, StandaloneServer, basic

SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
COUNT = int(os.environ.get("FUZZ_COUNT", "10000"))
THREADS = 8
#: A call that takes longer counts as a hang.
SECONDS = 20.0
#: A call that may be incomplete is ended from this side after so long without an answer.
IDLE = 0.25
#: The same after an answer, which another one may follow.
IDLE_AFTER_ANSWER = 0.02
MARKER = "bobs-" + secrets.token_hex(8)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass
class World:
    """What the calls may name: a server, bob's requests, and some of alice's."""

    server: StandaloneServer
    bobs: list[str]
    alices: list[str]
    link: str
    bobs_link: str


@dataclass
class Call:
    """One generated call. A `rough` one need not be answered; an `unfinished` one cannot be."""

    data: bytes
    head: bool = False
    rough: bool = False
    unfinished: bool = False


@dataclass
class Outcome:
    """What went wrong, by kind; each with the number of the call and what was sent."""

    statuses: Counter[int] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, number: int, call: Call, answer: bytes | str) -> None:
        text = f"call {number} of seed {SEED}: sent {call.data[:1500]!r}, got {answer[:500]!r}"
        self.problems.setdefault(kind, []).append(text)


# --- generation ------------------------------------------------------------------------------------------

ODD_BYTES = [
    b"\0",
    b"\r",
    b"\n",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\t",
    b"\x0b",
    b"%",
    b"\xe2\x98\x83",
]
ODD_SEGMENTS = [
    "", ".", "..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "%", "%zz", "%ff%fe", "%ed%a0%80",
    "%u0041", "%F0%9F%92%A9", "all", "ALL", "%61ll", "echo", "held", "strict", "raise", "private", "{}",
    "*", "a b".replace(" ", "%20"), "'%3B%20DROP%20TABLE%20requests%3B--", "'%20OR%20'1'='1", "\\",
    "%5c..%5c..", "null", "-1", "0", "1e999", "x" * 300, "x" * 9000, "%0d%0aX-Injected:%201", "?", ";a=b",
    "%252e%252e", "__proto__", "con", "%25s%25n", "$(id)", "|id", "~root",
]  # fmt: skip
ROUTES = [
    "/requests/{}", "/requests/{}", "/requests/{}", "/uploads/{}", "/uploads/{}", "/downloads/{}",
    "/downloads/{}/{}", "/requests", "/requests/", "/user", "/collections", "/test", "/auth/keys",
    "/auth/users", "/requests/{}/{}", "/{}", "/{}/{}", "/downloads/{}/{}/{}",
]  # fmt: skip
METHODS = ["GET"] * 8 + ["POST"] * 10 + ["DELETE"] * 4 + ["HEAD", "OPTIONS", "PUT", "PATCH"]
ODD_METHODS = [
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "M-SEARCH",
    "get",
    "FOO",
    "G\0T",
    "",
    "GET GET",
    "PRI",
    "SOURCE",
]
TYPES = ["application/json"] * 60 + [
    "application/x-yaml+json", "text/plain", "", "application/json; charset=utf-16", "multipart/form-data",
    "a" * 3000,
    "application/json;charset=\xff", "+json", "application/x-www-form-urlencoded",
]  # fmt: skip
TEXTS = [
    "", "x", "\0", "a\0b", "\ud800", "\udfff\ud800", "\U0001f4a9", "\u202e", "\ufeff", "null", "NaN", "-0",
    "1e400", "0x41", "0o17", "1_000", "12:30:45", "yes", "<<", "!!python/object/apply:os.system ['id']",
    "a: &a [*a]", "&a *a", "? [a]\n: b", "---\na: 1\n---\nb: 2", "a: 1\na: 2", "%YAML 9.9\n---\na", "a:\tb",
    "[" * 50, "{" * 2000, "- " * 3000, "a: " * 3000, "retrieve,", "retrieve,a=", "a=b,a=c",
    "class=od,date=-1", "class=od,date=20240101/to/99991231", "class=od,step=0/to/999999999999/by/1",
    "class=od,step=0/to/10/by/0", "class=od,step=10/to/0/by/-1", "class='od", "class=od,number=-1/to/-5",
    "class=od,time=9999", "class=od,date=20240230", "class=od,levelist=1/to/2/by/nan",
    "class = od, date = 2024-01-01/to/2024-12-31/by/1", "a = b = c", "=", ",", "a=(b", "'", '"', "#", "*",
    "{a: {", "@", "`", "../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", "http://[::1",
    "http://127.0.0.1:99999/", "${HOME}", "{{7*7}}", "<script>alert(1)</script>", "x" * 5000,
    "\r\nSet-Cookie: a=b", "%s%s%n", "verb", "retrieve", "archive",
]  # fmt: skip
KEYS = [
    "class", "CLASS", "date", "step", "time", "number", "expver", "levelist", "param", "feature", "data",
    "", "a", "\0", "\ud800", "__class__", "a.b", "$where", "secretkey", "stream", "x" * 2000,
]  # fmt: skip
YAML_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
RANGES = [
    "bytes=0-0", "bytes=-1", "bytes=5-", "bytes=9-1", "bytes=0-0,2-3", "bytes=" + "1-2," * 500, "bytes=-",
    "bytes=99999999999999999999-", "bytes=-99999999999999999999", "bytes=0-99999999999999999999",
    "bytes=\xb2-", "items=0-1", "bytes", "=", "bytes=a-b", "bytes=-0", "bytes = 0 - 1", "BYTES=0-1", "",
]  # fmt: skip
PREFERENCES = [
    "wait=0", "wait=-1", "wait=999999999999999999999", "wait=1e9", "wait=", "wait", "wait=0.5", "wait=nan",
    "respond-async", "wait=0, wait=5", "x" * 4000, "wait=\xb2", ";;;;",
]  # fmt: skip

WEBSOCKET = (
    b"GET /api/v1/test HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Generator:
    """Makes the calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alice = basic("alice", "alice's password")["Authorization"]

    def call(self, number: int) -> Call:
        r = random.Random(f"{SEED} {number}")
        kind = r.random()
        if kind < 0.72:
            return self.framed(r, number)
        if kind < 0.85:
            return self.chunked(r, number)
        if kind < 0.93:
            return self.misframed(r)
        return self.malformed(r)

    # the parts

    def segment(self, r: random.Random) -> str:
        world, kind = self.world, r.random()
        if kind < 0.3:
            return r.choice(world.bobs)
        if kind < 0.4:
            return r.choice(world.alices)
        if kind < 0.5:
            return r.choice([UNKNOWN, "echo", "held", "strict", "private", "raise"])
        if kind < 0.6:
            text = r.choice(world.bobs)
            return r.choice(
                [
                    text.upper(),
                    text + "%20",
                    "%20" + text,
                    text + ".",
                    text + "%00",
                    text[:-1],
                    text + "%2f",
                    "{" + text + "}",
                ]
            )
        if kind < 0.9:
            return r.choice(ODD_SEGMENTS)
        return "".join(r.choice(string.printable.strip() + "éß☃") for _ in range(r.randrange(1, 40)))

    def path(self, r: random.Random) -> str:
        kind = r.random()
        if kind < 0.8:
            route = r.choice(ROUTES)
            query = r.choice(["", "", "", "?a=b", "?%00=%ff", "?" + "x" * 2000])
            return "/api/v1" + route.format(*(self.segment(r) for _ in range(3))) + query
        if kind < 0.9:
            return r.choice(
                [
                    "/",
                    "//",
                    "/api",
                    "/api/v2/requests",
                    "/API/V1/test",
                    "/api//v1//test",
                    "/api/v1/../v1/test",
                    "/metrics",
                    "/.git/config",
                    "/api/v1/test%2f",
                    "/api/v1/%74est",
                ]
            )
        return "/" + "/".join(self.segment(r) for _ in range(r.randrange(1, 6)))

    def authorization(self, r: random.Random) -> str | None:
        kind = r.random()
        if kind < 0.85:
            return self.alice
        if kind < 0.88:
            return None
        words = r.choice(TEXTS).replace("\r", "").replace("\n", "")
        encoded = base64.b64encode(words.encode("utf-8", "surrogatepass")).decode()
        return r.choice(
            ["", "Basic", "Basic ", f"Basic {encoded}", f"basic {encoded}", f"Basic\t{encoded}", "Basic !",
             "Basic Og==", "Basic " + "A" * 20_000, "Basic Ym9iOv/+", "EmailKey a", "EmailKey a:b",
             f"EmailKey {words}", f"Bearer {words}", "Bearer a.b.c", "Federation a:b:c", "Federation :::",
             f"Federation {words}", "," * 500, ", ".join(["Basic Og=="] * 100), f"{words}, {self.alice}",
             f"{self.alice}, {self.alice}", "Digest a", "Negotiate", words]
        )  # fmt: skip

    def headers(self, r: random.Random, body: bytes) -> list[tuple[str, str]]:
        found = [("Host", "127.0.0.1")]
        if (authorization := self.authorization(r)) is not None:
            found.append(("Authorization", authorization))
        found.append(("Content-Type", r.choice(TYPES)))
        for _ in range(r.choice([0, 0, 1, 2, 4])):
            found.append(self.odd_header(r, body))
        if r.random() < 0.3:
            found.append(("Range", r.choice(RANGES)))
        if r.random() < 0.3:
            found.append(("X-Checksum", hashlib.md5(body).hexdigest()))
        return found

    def odd_header(self, r: random.Random, body: bytes) -> tuple[str, str]:
        digest = hashlib.md5(body)
        word = r.choice(TEXTS).replace("\r", "").replace("\n", "")
        return r.choice(
            [
                ("Range", r.choice(RANGES)),
                ("Prefer", r.choice(PREFERENCES)),
                ("X-Checksum", r.choice([digest.hexdigest(), "", "0" * 32, "x" * 5000, word])),
                ("Content-MD5", r.choice([base64.b64encode(digest.digest()).decode(), "====", "\xb2", word])),
                ("If-Range", r.choice(['"', '"x"', "W/", word])),
                ("If-None-Match", r.choice(["*", "*", '"', word, '"x",' * 300])),
                ("If-Modified-Since", word),
                ("Accept", r.choice(["", "*/*;q=nan", "application/xml", word])),
                ("Accept-Encoding", "gzip, deflate, br, zstd, identity;q=0"),
                ("Content-Encoding", "gzip"),
                ("Cookie", "a=b; " * 200),
                ("X-Forwarded-Host", word),
                ("X-Forwarded-For", word),
                ("X-Forwarded-Proto", word),
                ("X-Forwarded-Prefix", "/" + word),
                ("X-HTTP-Method-Override", "DELETE"),
                ("X-Request-Id", word),
                ("Origin", word),
                ("Access-Control-Request-Method", word),
                ("Expect", "100-continue"),
                ("TE", "trailers"),
                ("Date", word),
                (f"X-{r.choice(['a', 'A-b', 'x' * 1000])}", "y" * r.choice([1, 100, 20_000])),
                ("Authorization", basic("bob", "wrong")["Authorization"]),
            ]
        )

    def value(self, r: random.Random, depth: int = 0) -> Any:
        kind = r.randrange(12 if depth < 3 else 8)
        if kind < 4:
            return r.choice(TEXTS)
        if kind < 8:
            return r.choice(
                [
                    None,
                    True,
                    False,
                    0,
                    -1,
                    1.5,
                    -0.0,
                    10**30,
                    10**400,
                    1e308,
                    float("nan"),
                    float("inf"),
                    [],
                    {},
                ]
            )
        if kind < 10:
            return {r.choice(KEYS): self.value(r, depth + 1) for _ in range(r.randrange(5))}
        return [self.value(r, depth + 1) for _ in range(r.randrange(5))]

    def submission(self, r: random.Random) -> dict[str, Any]:
        body: dict[str, Any] = {
            "verb": r.choice(["retrieve"] * 8 + ["archive"] * 3 + [self.value(r)]),
            "request": self.value(r),
        }
        if r.random() < 0.3:
            body["request"] = {
                "class": r.choice(["od", "rd", "xx", ["od", "rd"], "OD"]),
                **{r.choice(KEYS): self.value(r, 2) for _ in range(3)},
            }
        if r.random() < 0.02:
            body["request"] = YAML_BOMB
        if r.random() < 0.2:
            body["url"] = self.value(r)
        if r.random() < 0.1:
            del body[r.choice(list(body))]
        if r.random() < 0.1:
            body[r.choice(KEYS)] = self.value(r)
        if r.random() < 0.2:
            body.update(username=self.value(r), password=self.value(r), role=self.value(r))
        return body

    def body(self, r: random.Random) -> bytes:
        kind = r.random()
        if kind < 0.62:
            return json.dumps(self.submission(r)).encode("utf-8", "surrogatepass")
        if kind < 0.72:
            return json.dumps(self.value(r)).encode()
        if kind < 0.8:
            text = bytearray(json.dumps(self.submission(r)).encode())
            for _ in range(r.randrange(1, 6)):
                text[r.randrange(len(text))] = r.randrange(256)
            return bytes(text)
        if kind < 0.84:
            return json.dumps(self.submission(r), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if kind < 0.87:
            return json.dumps(self.submission(r)).encode(r.choice(["utf-16", "utf-32", "utf-8-sig"]))
        if kind < 0.9:
            opening, closing = r.choice(
                [("[", "]"), ('{"a":', "}"), ('{"verb":"retrieve","request":' + "[", "]")]
            )
            depth = r.choice([10, 200, 1500, 50_000])
            return (opening * depth + "1" + closing * r.choice([0, depth])).encode()
        if kind < 0.92:
            return b'{"verb": "retrieve", "request": ' + b"9" * r.choice([20, 5000, 200_000]) + b"}"
        if kind < 0.925:
            return b'{"verb": "retrieve", "request": "' + b"x" * r.choice([1 << 20, (2 << 20) + 1]) + b'"}'
        return r.choice(
            [
                b"",
                b"\0" * 100,
                b"null",
                b"GRIB" + bytes(range(256)),
                b"\xff" * 1000,
                b"{}",
                b"[]",
                b'""',
                b" " * 5000,
                b'{"a":1}{"a":2}',
            ]
        )

    # whole calls

    def start(self, r: random.Random, number: int) -> tuple[str, str]:
        """Method and path: half of them such that the rest of the call is looked at."""
        kind = r.random()
        if kind < 0.25:
            collection = r.choice(["held"] * 10 + ["strict"] * 6 + ["echo", "raise", "private", "none"])
            return "POST", f"/api/v1/requests/{collection}"
        if kind < 0.33:
            return "POST", f"/api/v1/uploads/{r.choice([*self.world.bobs, *self.world.alices, UNKNOWN])}"
        if kind < 0.42:
            return r.choice(["GET", "GET", "GET", "HEAD"]), f"/api/v1{self.world.link}"
        if kind < 0.5:
            # Not before the end: it takes alice's requests away.
            everything = "all" if number > 0.9 * COUNT else "held"
            name = r.choice([*self.world.bobs * 3, *self.world.alices, everything])
            return r.choice(["GET", "GET", "DELETE", "HEAD"]), f"/api/v1/requests/{name}"
        method = r.choice(METHODS) if r.random() < 0.95 else r.choice(ODD_METHODS)
        return method, self.path(r)

    @staticmethod
    def written(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body

    def framed(self, r: random.Random, number: int) -> Call:
        """A body with its right length."""
        method, path = self.start(r, number)
        body = self.body(r) if method not in ("GET", "HEAD") or r.random() < 0.1 else b""
        headers = self.headers(r, body)
        if body or method == "POST":
            headers.append(("Content-Length", str(len(body))))
        data = self.written(method, path, headers, body)
        return Call(data, head=method == "HEAD", rough=not tidy(data, body, method))

    def chunked(self, r: random.Random, number: int) -> Call:
        """A body in chunks, some of them with what chunks may have."""
        method, path = self.start(r, number)
        body = self.body(r)
        headers = [*self.headers(r, body), ("Transfer-Encoding", "chunked")]
        pieces = []
        start = 0
        while start < len(body):
            piece = body[start : start + r.choice([1, 7, 4096, 100_000]) * max(1, len(body) // 50_000)]
            extension = r.choice([b"", b"", b";a=b", b';a="b;c"'])
            pieces.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
            start += len(piece)
        trailer = r.choice([b"", b"", b"X-Trailer: a\r\n", b"Content-Length: 5\r\n"])
        framed = b"".join(pieces) + b"0\r\n" + trailer + b"\r\n"
        data = self.written(method, path, headers, framed)
        return Call(data, head=method == "HEAD", rough=not tidy(data, framed, method) or bool(trailer))

    def misframed(self, r: random.Random) -> Call:
        """A body with a wrong length, or broken chunks."""
        method, path = r.choice(["POST", "POST", "GET", "DELETE"]), self.path(r)
        body = self.body(r)[:5000]
        headers = self.headers(r, body)
        size, unfinished = len(body), False
        kind = r.randrange(8)
        if kind == 0:
            headers.append(("Content-Length", str(size + r.choice([1, 1000, 10**6]))))
            unfinished = True
        elif kind == 1:
            headers.append(("Content-Length", str(max(0, size - r.choice([1, 10, 1000])))))
        elif kind == 2:
            headers.append(
                ("Content-Length", r.choice(["-1", "abc", "0x10", "1" * 40, "", "5, 5", "+5", " 5 5"]))
            )
        elif kind == 3:
            headers += [("Content-Length", str(size)), ("Content-Length", str(size + 1))]
        elif kind == 4:
            headers += [("Content-Length", str(size)), ("Transfer-Encoding", "chunked")]
        elif kind == 5:
            headers.append(
                (
                    "Transfer-Encoding",
                    r.choice(["gzip", "chunked, gzip", "identity", "xchunked", "chunked, chunked"]),
                )
            )
        elif kind == 6:
            headers.append(("Transfer-Encoding", "chunked"))
            body = r.choice(
                [
                    b"zz\r\n",
                    b"-1\r\n",
                    b"ffffffffffffffffff\r\n",
                    b"5\r\nab\r\n",
                    b"1;" + b"x" * 20_000 + b"\r\na\r\n0\r\n\r\n",
                    b"5 5\r\nabcde\r\n0\r\n\r\n",
                ]
            )
        else:
            headers.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%s" % (size + 10, body)
            unfinished = True
        return Call(self.written(method, path, headers, body), rough=True, unfinished=unfinished)

    def malformed(self, r: random.Random) -> Call:
        """What is not HTTP, or nearly."""
        good = self.written("GET", self.path(r), self.headers(r, b""), b"")
        kind = r.randrange(12)
        if kind == 0:
            data = bytes(r.randrange(256) for _ in range(r.randrange(1, 300))) + b"\r\n\r\n"
        elif kind == 1:
            position = r.randrange(len(good))
            data = good[:position] + r.choice(ODD_BYTES) + good[position:]
        elif kind == 2:
            return Call(good[: r.randrange(1, len(good))], rough=True, unfinished=True)
        elif kind == 3:
            data = good.replace(
                b"HTTP/1.1",
                r.choice([b"HTTP/1.0", b"HTTP/9.9", b"HTTP/1.1x", b"http/1.1", b"HTTP/2.0", b""]),
                1,
            )
        elif kind == 4:
            data = good.replace(b"\r\n", b"\n")
        elif kind == 5:
            data = (
                b"GET / HTTP/1.1\r\n"
                + b"".join(b"X-%d: y\r\n" % n for n in range(r.choice([200, 5000])))
                + b"\r\n"
            )
        elif kind == 6:
            data = b"GET /" + b"x" * r.choice([70_000, 300_000]) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        elif kind == 7:
            data = WEBSOCKET
        elif kind == 8:
            data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50)
        elif kind == 9:
            data = good.replace(b"\r\n", b"\r\n folded: ", 1)
        elif kind == 10:
            data = good.replace(b": ", b" : ", 1)
        else:
            data = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200))  # TLS
        return Call(data, rough=True)


def tidy(data: bytes, body: bytes, method: str) -> bool:
    """Whether the head is such that a server must answer it and keep the connection."""
    head = data[: len(data) - len(body)]
    printable = re.fullmatch(rb"[\t\r\n\x20-\x7e\x80-\xff]*", head) is not None
    target = head.split(b"\r\n", 1)[0]
    ascii_target = target.isascii() and target.count(b" ") == 2
    known = method in METHODS and b"Expect" not in head
    return printable and ascii_target and known and len(head) < 30_000 and b"\r\n\r\n" not in head[:-4]


# --- talking ---------------------------------------------------------------------------------------------


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
    if any(status >= 500 and not (status == 501 and b"/auth/" in call.data) for status in statuses):
        outcome.note("5xx", number, call, answer)
    if any(word in answer for word in TRACES):
        outcome.note("stack trace", number, call, answer)
    if any(word in answer for word in secret):
        outcome.note("data of another user", number, call, answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    if call.rough or (statuses[:1] == [400] and body == b"Invalid HTTP request received."):
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


# --- the tests -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, caller_of: type[Caller]) -> Iterator[World]:
    everybody = {"roles": {"test": ["default"]}}
    config = {
        "frontend": {"poll_wait": 0.02},
        "datasources": {
            **CONFIG["datasources"],
            "strict": {"type": "echo", "match": {"class": ["od", "rd"], "secretkey": []}},
        },
        "collections": {
            "echo": {**everybody, "datasources": ["echo"]},
            "raise": {**everybody, "datasources": ["raise"]},
            "strict": {**everybody, "datasources": ["strict"], "limits": {"total": 0}},
            "held": {**everybody, "datasources": ["echo"], "limits": {"total": 0}},
            "private": {"datasources": ["echo"]},
        },
    }
    with StandaloneServer(tmp_path_factory.mktemp("fuzz") / "data", config) as server:
        bob, alice = caller_of(server, "bob"), caller_of(server, "alice")
        bobs = [
            bob.submit("echo", MARKER),
            bob.submit("raise", MARKER),
            bob.submit("held", MARKER),
            bob.submit("echo", {"a": MARKER}, "archive"),
        ]
        bobs_link = bob.end_of(bobs[0]).headers["Location"]
        assert bob.end_of(bobs[1]).status_code == 400
        link = alice.link("echo", "some text of alice")
        alices = [alice.submit("echo", "x", "archive") for _ in range(20)] + [alice.submit("held", "x")]
        yield World(server, bobs, alices, link, bobs_link)


@pytest.fixture(scope="module")
def outcome(world: World) -> Outcome:
    """All the calls, made once."""
    print(f"FUZZ_SEED={SEED} FUZZ_COUNT={COUNT}")
    generator = Generator(world)
    outcome = Outcome()
    secret = [MARKER.encode(), world.bobs_link.rpartition("/")[2].encode()]

    def run(numbers: range) -> None:
        connection = Connection(world.server.port)
        for number in numbers:
            call = generator.call(number)
            try:
                answer = connection.throw(call) if call.rough else connection.ask(call)
            except TimeoutError:
                outcome.note("hang", number, call, "nothing")
                connection.close()
            except ConnectionError as error:
                outcome.note("no answer", number, call, str(error))
                connection.close()
            else:
                judge(outcome, number, call, answer, secret)
        connection.close()

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, [range(start, COUNT, THREADS) for start in range(THREADS)]))
    print(f"{COUNT} calls in {time.monotonic() - started:.1f} s: {sorted(outcome.statuses.items())}")
    return outcome


@pytest.mark.parametrize(
    "kind",
    ["5xx", "hang", "no answer", "stack trace", "data of another user", "missing header", "odd error body"],
)
def test_no_call_has_a_bad_answer(outcome: Outcome, kind: str) -> None:
    found = outcome.problems.get(kind, [])
    assert not found, f"{len(found)} calls, the first of them:\n" + "\n".join(found[:5])


def test_the_calls_reach_every_kind_of_answer(outcome: Outcome) -> None:
    assert {200, 202, 206, 304, 400, 401, 403, 404, 405, 410, 416, 501} <= set(outcome.statuses)


def test_another_users_requests_are_as_they_were(
    outcome: Outcome, world: World, caller_of: type[Caller]
) -> None:
    bob = caller_of(world.server, "bob")
    documents = bob.get("/requests").json()["message"]
    assert [document["id"] for document in documents] == world.bobs
    assert [document["status"] for document in documents] == ["processed", "failed", "waiting", "uploading"]
    assert bob.get(world.bobs_link.removeprefix("..")).text == MARKER


def test_the_server_works_as_before(outcome: Outcome, world: World, caller_of: type[Caller]) -> None:
    alice = caller_of(world.server, "alice")
    assert alice.get("/test").json() == {"message": "Polytope server is alive"}
    assert alice.get(alice.link("echo", "still here")).content == b"still here"


def test_the_log_holds_no_traceback(outcome: Outcome, world: World) -> None:
    log = world.server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 1000 :][:4000]


def test_the_same_seed_makes_the_same_calls(world: World) -> None:
    make: Callable[[int], Call] = Generator(world).call
    assert [make(number).data for number in range(50)] == [make(number).data for number in range(50)]
