"""A data source that tests hold and release, and a who-am-i service."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: The e-mail address and the key of the account that the who-am-i service knows.
KEY_EMAIL, KEY = "grace@example.org", "0123456789abcdef0123456789abcdef"


class Gate:
    """A data source and a who-am-i service. A request that begins with `hold` waits for :meth:`release`."""

    def __init__(self) -> None:
        self.held: dict[str, threading.Event] = {}
        self.arrived: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/input":
                    self._answer(200, b"data from a URL", "application/octet-stream")
                elif parse_qs(parts.query).get("token") == [KEY]:
                    self._answer(200, json.dumps({"uid": "grace", "email": KEY_EMAIL}).encode())
                else:
                    self._answer(403, b"{}")

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = self._chunked()
                else:
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                text = body.decode("latin-1")
                if text.startswith("hold"):
                    gate.event(gate.arrived, text).set()
                    gate.event(gate.held, text).wait(120)
                if text.startswith("hold and fail"):
                    self._answer(400, json.dumps({"message": f"refused: {text}"}).encode())
                else:
                    self._answer(200, body, "application/octet-stream")

            def _chunked(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # revoked requests hang up
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def event(self, events: dict[str, threading.Event], text: str) -> threading.Event:
        with self._lock:
            return events.setdefault(text, threading.Event())

    def wait_for(self, text: str) -> None:
        """Wait until the request of this text is with the data source."""
        assert self.event(self.arrived, text).wait(60), f"{text!r} did not reach the data source"

    def release(self, text: str) -> None:
        """Let the request of this text go on."""
        self.event(self.held, text).set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        for event in self.held.values():
            event.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
