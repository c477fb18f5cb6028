"""What generated calls are made of: odd bytes, names and texts, and the requests that they may name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.server import StandaloneServer

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


def tidy(data: bytes, body: bytes, method: str) -> bool:
    """Whether the head is such that a server must answer it and keep the connection."""
    head = data[: len(data) - len(body)]
    printable = re.fullmatch(rb"[\t\r\n\x20-\x7e\x80-\xff]*", head) is not None
    target = head.split(b"\r\n", 1)[0]
    ascii_target = target.isascii() and target.count(b" ") == 2
    known = method in METHODS and b"Expect" not in head
    return printable and ascii_target and known and len(head) < 30_000 and b"\r\n\r\n" not in head[:-4]
