"""Generated calls. A call depends on the seed and its number only."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import string
from typing import Any

from fuzz_material import (
    KEYS,
    METHODS,
    ODD_BYTES,
    ODD_METHODS,
    ODD_SEGMENTS,
    PREFERENCES,
    RANGES,
    ROUTES,
    TEXTS,
    TYPES,
    UNKNOWN,
    WEBSOCKET,
    YAML_BOMB,
    Call,
    World,
    tidy,
)

from testbed.server import basic

SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
COUNT = int(os.environ.get("FUZZ_COUNT", "10000"))


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
