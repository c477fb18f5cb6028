"""A service that keeps what is archived, answers what it is asked for, and holds an input to be archived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class ArchiveHost:
    """The data source and, at :attr:`input_url`, the host of an input."""

    INPUT = b"data of the host"

    def __init__(self) -> None:
        #: What was archived, in the order in which it came.
        self.kept: list[bytes] = []
        kept = self.kept

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(ArchiveHost.INPUT)

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    kept.append(self._chunked())
                    self._answer(b"")
                else:
                    self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _chunked(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/x-grib")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.input_url = f"{self.url}/input"

    @contextmanager
    def serving(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def sections(self) -> dict[str, Any]:
        """Sections for a server whose collection `archive` is served by this one."""
        return {
            "worker": {"input_hosts": ["127.0.0.1"], "retry_delay": 0.05, "max_attempts": 1},
            "datasources": {"archive": {"type": "http", "url": self.url, "archive": True}},
            "collections": {"archive": {"roles": {"test": ["default"]}, "datasources": ["archive"]}},
        }
