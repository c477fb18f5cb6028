"""A Polytope server as earlier ones were on the wire, with the mishaps that a test asks for."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

_API = "/api/v1"


@dataclass
class Seen:
    """A call that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Stored:
    """A request as this server keeps it."""

    id: str
    text: str
    verb: str
    timestamp: float = field(default_factory=time.time)
    polls: int = 0
    upload: bytes | None = None


class EarlierServer:
    """Serves `data` to every retrieval, after `polls` polls; what is said of a request is `message`."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.polls = 1
        self.message = "Request queued"
        self.requests: dict[str, Stored] = {}
        self.seen: list[Seen] = []
        #: Answers to the next calls whose method and path begin so, instead of what is right: a status with
        #: headers and a body, or `drop`: do what was asked for, and hang up without an answer.
        self.mishaps: list[tuple[str, str | tuple[int, dict[str, str], bytes]]] = []
        #: Locations: `relative`, `absolute`, or an address of the result at another server.
        self.locations = "relative"
        #: The poll is answered with the data.
        self.direct = False
        self.failure = ""
        #: Whether it heeds `Idempotency-Key`, which none of the earlier ones did.
        self.keeps_keys = False
        self.knows_ranges = True
        self.etag, self.md5, self.length = '"1"', hashlib.md5(data).hexdigest(), len(data)
        #: Bytes after which a download breaks off, once for each.
        self.breaks: list[int] = []
        self.held = threading.Event()
        self.held.set()
        self._keys: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    @contextmanager
    def serving(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.held.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def calls(self, method: str, prefix: str) -> list[Seen]:
        """Those of this method, to paths that begin so below the API."""
        return [one for one in self.seen if (one.method, one.path.startswith(prefix)) == (method, True)]

    def mishap(self, method: str, path: str) -> str | tuple[int, dict[str, str], bytes] | None:
        with self._lock:
            for position, (where, mishap) in enumerate(self.mishaps):
                if f"{method} {path}".startswith(where):
                    del self.mishaps[position]
                    return mishap
        return None

    def store(self, text: str, verb: str, key: str = "") -> Stored:
        """Keep a new request, or find that of the key."""
        with self._lock:
            if self.keeps_keys and key in self._keys:
                return self.requests[self._keys[key]]
            found = Stored(f"id-{len(self.seen)}", text, verb)
            self.requests[found.id] = found
            self._keys[key] = found.id
            return found

    def place(self, relative: str) -> str:
        """A location as this server gives it."""
        path = relative.replace("./", "/requests/", 1) if relative.startswith("./") else relative[2:]
        return relative if self.locations == "relative" else f"{self.url}{_API}{path}"


def _handler(server: EarlierServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.answered = True
            super().handle_one_request()

        def do_call(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            path = urlsplit(self.path).path.removeprefix(_API)
            seen = Seen(self.command, path, dict(self.headers), self.rfile.read(length))
            server.seen.append(seen)
            mishap = server.mishap(self.command, path)
            if isinstance(mishap, tuple):
                status, headers, body = mishap
                self.answer(status, body, **headers)
                return
            self.answered = mishap is None
            self.serve(seen)
            self.close_connection = self.close_connection or mishap is not None

        do_GET = do_POST = do_DELETE = do_call

        def serve(self, seen: Seen) -> None:
            kind, _, name = seen.path.strip("/").partition("/")
            if seen.method == "POST" and kind == "requests":
                self.submit(seen)
            elif kind == "requests" and name not in server.requests and seen.method == "GET":
                self.list_requests(name)
            elif name not in server.requests and kind != "downloads":
                self.answer_json(404, {"message": f"Request {name} not found"})
            elif seen.method == "DELETE":
                server.requests.pop(name, None)
                self.answer_json(200, {"message": "Successfully revoked 1 requests"})
            elif seen.method == "POST":
                self.take_upload(seen, server.requests[name])
            elif kind == "downloads":
                self.download(seen)
            else:
                self.poll(server.requests[name])

        def submit(self, seen: Seen) -> None:
            body = json.loads(seen.body)
            key = seen.headers.get("Idempotency-Key", "")
            found = server.store(body["request"], body["verb"], key)
            server.held.wait(30)
            headers = {"Idempotency-Key": key} if server.keeps_keys else {}
            self.answer_pending(found, **headers)

        def answer_pending(self, found: Stored, **headers: str) -> None:
            waits = found.verb == "archive" and found.upload is None
            where = f"../uploads/{found.id}" if waits else f"./{found.id}"
            status = "uploading" if waits else "queued"
            known = {"Location": server.place(where), "Retry-After": "0", **headers}
            self.answer_json(202, {"message": server.message, "status": status}, **known)

        def list_requests(self, name: str) -> None:
            if name != "all":
                self.answer_json(404, {"message": f"Request {name} not found"})
                return
            documents = [
                {"id": one.id, "user_request": one.text, "verb": one.verb, "timestamp": one.timestamp}
                for one in server.requests.values()
            ]
            self.answer_json(200, {"message": documents})

        def poll(self, found: Stored) -> None:
            found.polls += 1
            waits = found.verb == "archive" and found.upload is None
            if waits or found.polls <= server.polls:
                self.answer_pending(found)
            elif server.failure:
                self.answer_json(400, {"message": f"Request failed with error:\n{server.failure}"})
            elif found.verb == "archive":
                self.answer_json(200, {"message": "Success", "status": "processed"})
            elif server.direct:
                self.answer(200, server.data, Content_Type="application/x-grib")
            else:
                where = (
                    server.locations
                    if "://" in server.locations
                    else server.place(f"../downloads/{found.id}")
                )
                body = {
                    "contentLength": server.length,
                    "contentType": "application/x-grib",
                    "location": where,
                }
                self.answer_json(303, body, Location=where)

        def take_upload(self, seen: Seen, found: Stored) -> None:
            if seen.headers.get("X-Checksum") != hashlib.md5(seen.body).hexdigest():
                self.answer_json(400, {"message": "Uploaded data checksum does not agree"})
                return
            found.upload = seen.body
            self.answer_pending(found)

        def download(self, seen: Seen) -> None:
            start = 0
            asked = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("Range", ""))
            if asked and server.knows_ranges and seen.headers.get("If-Range", server.etag) == server.etag:
                start = int(asked[1])
            data = server.data[start:]
            headers = {"Content_Type": "application/x-grib", "ETag": server.etag, "Content_MD5": server.md5}
            if start:
                headers["Content_Range"] = f"bytes {start}-{len(server.data) - 1}/{len(server.data)}"
            broken = server.breaks.pop(0) if server.breaks else len(data)
            self.answer(206 if start else 200, data[:broken], Content_Length=str(len(data)), **headers)
            self.close_connection = self.close_connection or broken < len(data)

        def answer_json(self, status: int, document: Any, **headers: str) -> None:
            self.answer(status, json.dumps(document).encode(), Content_Type="application/json", **headers)

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            if not self.answered:
                return
            self.send_response(status)
            for name, value in {"Content_Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def unused_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
