"""A script of another origin uses the REST API in a real browser: it learns what it needs of each answer."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from answers_of_browsers import PAGE

from testbed.server import StandaloneServer, basic
from testbed.services.programs import NotInstalledError, program
from testbed.waiting import until

#: A browser without a window, and without calls of its own to the network.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


class Site(ThreadingHTTPServer):
    """Serves the page, and takes what its script reports."""

    def __init__(self, page: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = page
        self.report: Any = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    def do_POST(self) -> None:
        self.server.report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(page: str) -> Iterator[Site]:
    with Site(page) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@contextmanager
def browsing(url: str, folder: Path) -> Iterator[None]:
    try:
        command = [program("chromium"), *OPTIONS, f"--user-data-dir={folder}", url]
    except NotInstalledError as error:
        pytest.skip(str(error))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            yield
        finally:
            browser.kill()


def test_a_script_submits_polls_and_downloads(server: StandaloneServer, tmp_path: Path) -> None:
    credentials = basic("alice", "alice's password")["Authorization"]
    page = PAGE.replace("@API@", server.url).replace("@CREDENTIALS@", credentials)
    with serving(page) as site, browsing(site.url, tmp_path):
        until(lambda: site.report is not None)
        report = site.report
    assert report["error"] is None
    assert report["submitted"]["status"] == 202
    # The script knows its request by the body, and by a header.
    assert report["submitted"]["location"].rpartition("/")[2] == report["submitted"]["id"]
    assert report["result"] == {"status": 200, "text": "from a browser", "md5": report["result"]["md5"]}
    assert report["result"]["md5"]
    assert all(report["call ids"])
    assert report["refused"] == {"status": 401, "message": report["refused"]["message"]}
    assert report["refused"]["message"]
