"""A server that speaks ECMWF's Web API as `ecmwf-api-client` 1.7 expects it. `method` says how it goes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMAIL, KEY = "alice@example.org", "the key of alice"
FIELD_SIZE = 2_500_000
DATA = b"GRIB\0\0\0\x02" + FIELD_SIZE.to_bytes(8, "big") + bytes(FIELD_SIZE - 20) + b"7777"
#: Where a transfer that is cut ends.
CUT = 1_000_000
ERROR = "ecmwf.API error: Expected 5, got 2"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebAPIServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        self.server.seen.append((self.command, path, dict(self.headers)))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path.startswith("/data/"):
            self._send_data(path.rpartition("/")[2])
        elif self.headers.get("X-ECMWF-KEY") != KEY or self.headers.get("From") != EMAIL:
            self._answer(403, {"error": "Access token is invalid"})
        elif self.command == "POST" and path.endswith("/requests"):
            self._submit(path, json.loads(body))
        elif self.command == "DELETE":
            self.server.deleted.append(path)
            self._answer(204)
        elif "/requests/" in path:
            self._poll(path)
        else:
            about = {"uid": "alice", "full_name": "Alice", "info": {}, "news": "nothing"}
            self._answer(200, about)

    def _answer(self, status: int, body: Any = None, **headers: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self._send(status, content, **{"Retry-After": "0", **headers})

    def _send(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def _submit(self, path: str, request: dict[str, str]) -> None:
        server = self.server
        server.submitted.append((path, request))
        method = request.get("method", "good")
        again = server.count(f"submit {method}")
        location = f"{path}/{method}-{len(server.submitted)}"
        if method == "refused":
            self._answer(400, {"error": ERROR, "messages": ["no such thing"]})
        elif method == "overloaded" or (method == "busy" and again < 3):
            self._answer(429, {"error": "too many requests"})
        elif method == "moved" and again == 1:
            self._answer(301, None, Location=f"{server.url}/services/mars/requests")
        elif method == "away":
            self._answer(302, None, Location=f"{server.elsewhere}/v1/services/mars/requests")
        elif method == "foreign":
            self._answer(202, {"status": "queued", "name": "x"}, Location=f"{server.elsewhere}{location}")
        elif method == "mute":
            self._answer(202, {"status": "queued", "name": "x"})
        elif method == "hollow":
            self._send(202, b"<html>", Location=location)
        else:
            body = {
                "status": "queued",
                "name": location.rpartition("/")[2],
                "messages": ["Request is queued"],
            }
            self._answer(202, body, Location=location)

    def _poll(self, path: str) -> None:
        method = path.rpartition("/")[2].partition("-")[0]
        number = self.server.count(path)
        if method == "down" and number in (2, 3):
            self._answer(503)
        elif method == "gone" or (method == "hangs" and number > 3 and not self.server.hanging.wait(0)):
            self._answer(503 if method == "gone" else 202, {"status": "active"})
        elif number < 3:
            messages = ["Request is active", "Requesting 1 field"]
            known = int(re.search("offset=([0-9]+)", self.path)[1]) - 1  # type: ignore[index]
            body = {"status": "active", "messages": messages[:number][known:]}
            self._answer(202, body, Location=path)
        elif method == "aborted":
            self._answer(200, {"status": "aborted", "messages": ["Tape is broken"], "reason": "no tape"})
        elif method == "failed":
            self._answer(200, {"status": "aborted", "error": ERROR, "messages": ["mars - EROR - no"]})
        elif method == "formless":
            self._answer(200, {"status": "complete", "result": {"size": "x"}})
        else:
            self._answer_complete(method)

    def _answer_complete(self, method: str) -> None:
        size = {"empty": 0, "less": len(DATA) - 1, "more": len(DATA) + 1}.get(method, len(DATA))
        where = f"{self.server.elsewhere}/data/{method}" if method == "far" else f"/data/{method}"
        result = {"href": where, "size": size, "type": "application/x-grib"}
        if method == "other":
            self._answer(303, result, Location=where)
        else:
            self._answer(200, {"status": "complete", "messages": [], "result": result})

    def _send_data(self, method: str) -> None:
        number = self.server.count(f"data {method}")
        found = re.match("bytes=([0-9]+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        version = f'"{number}"' if method == "changed" else '"1"'
        data = DATA[:-1] + b"x" if method == "damaged" else DATA
        if method == "lost":
            self._send(404, b"")
        elif method == "stuck" and number > 1:
            self._cut(data, start, start, version)
        elif method in ("cut", "norange", "changed", "stuck", "elsewhere") and number == 1:
            self._cut(data, 0, CUT, version)
        elif start and method == "elsewhere":
            self._send(206, data, Content_Range=f"bytes 0-{len(data) - 1}/{len(data)}", ETag=version)
        elif start and method != "norange":
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._send(206, data[start:], Content_Range=span, ETag=version)
        else:
            self._send(200, data, ETag=version)

    def _cut(self, data: bytes, start: int, end: int, version: str) -> None:
        self.close_connection = True
        span = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._send(206 if start else 200, data[start:end], len(data) - start, ETag=version, **span)


class WebAPIServer(ThreadingHTTPServer):
    """The server, and what it has seen."""

    def __init__(self, elsewhere: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        #: Another server.
        self.elsewhere = elsewhere
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.submitted: list[tuple[str, dict[str, str]]] = []
        self.deleted: list[str] = []
        #: Set when requests that hang may go on.
        self.hanging = threading.Event()
        self._counts: dict[str, int] = {}

    def count(self, what: str) -> int:
        """Count a call of a kind; returns how many there were."""
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what]

    @contextmanager
    def serving(self) -> Iterator[WebAPIServer]:
        """Serve in a thread."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()
