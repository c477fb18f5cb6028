"""The request that `helm test` sends."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from polytope_server.commands import retrieval


@pytest.fixture
def retrieve(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command as alice; returns its exit status."""
    monkeypatch.setenv("POLYTOPE_PASSWORD", "alice's password")

    def run(collection: str, request: str = '{"class": "od"}', timeout: float = 60, url: str = "") -> int:
        address = url or server.url.removesuffix("/api/v1")
        arguments = ["--url", address, "--user", "alice", "--collection", collection]
        return retrieval.main([*arguments, "--request", request, "--timeout", str(timeout)])

    return run


@pytest.fixture
def empty() -> Iterator[str]:
    """A server whose results are empty."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(303)

        def do_GET(self) -> None:
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Location", "/result")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{found.server_address[1]}"
    found.shutdown()
    thread.join()
    found.server_close()


def test_a_result_is_downloaded(retrieve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrieve("echo") == 0
    assert capsys.readouterr().out.startswith("echo: ")


def test_a_text_can_be_the_request(retrieve: Any) -> None:
    assert retrieve("dummy", '"10"') == 0


def test_a_request_that_fails_fails_the_test_and_says_why(
    retrieve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrieve("raise") == 1
    assert "this data source always fails" in capsys.readouterr().err


def test_an_empty_result_fails_the_test(
    retrieve: Any, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrieve("echo", url=empty) == 1
    assert "the result is empty" in capsys.readouterr().err


def test_a_wrong_password_fails_the_test(
    retrieve: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYTOPE_PASSWORD", "wrong")
    assert retrieve("echo") == 1
    assert "401" in capsys.readouterr().err


def test_it_gives_up_in_time(retrieve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrieve("echo", url="http://127.0.0.1:9", timeout=0) == 1
    assert "after 0 s" in capsys.readouterr().err


def test_a_request_that_is_no_json_is_refused(retrieve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        retrieve("echo", "{class: od}")
    assert "is no JSON" in capsys.readouterr().err
