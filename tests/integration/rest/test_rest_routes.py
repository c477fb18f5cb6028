"""Routes, methods and headers of REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import json
import socket

import pytest
from answers import (
    ALICE,
    NO_ROUTE,
    RETRIEVE,
    UNKNOWN,
    WRONG_METHOD,
    Callers,
    allowed,
    lasting_headers,
    message,
)
from caller import Caller

from testbed.server import StandaloneServer


def test_the_liveness_test_answers_exactly_without_credentials(nobody: Caller) -> None:
    answer = nobody.get("/test")
    assert (answer.status_code, answer.json()) == (200, {"message": "Polytope server is alive"})
    assert answer.headers["Content-Type"] == "application/json"


def test_the_liveness_test_ignores_wrong_credentials(call: Callers) -> None:
    assert call(None, Authorization="Basic nonsense").get("/test").status_code == 200


@pytest.mark.parametrize(
    "path", ["/test/", "/nothing", "/", "", "/downloads/a/b/c", "/downloads", "/requests/a/b"]
)
def test_an_unknown_path_is_404(alice: Caller, path: str) -> None:
    assert message(alice.get(path)) == (404, NO_ROUTE)


def test_an_unknown_path_outside_of_the_api_is_404(alice: Caller, server: StandaloneServer) -> None:
    assert message(alice.get(server.url.removesuffix("/v1"))) == (404, NO_ROUTE)
    assert message(alice.post("/nothing", {})) == (404, NO_ROUTE)


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("POST", "/test", {"GET"}),
        ("DELETE", "/test", {"GET"}),
        ("POST", "/collections", {"GET"}),
        ("DELETE", "/collections/echo", {"GET"}),
        ("POST", "/user", {"GET"}),
        ("DELETE", "/user", {"GET"}),
        ("POST", "/requests", {"GET"}),
        ("DELETE", "/requests", {"GET"}),
        ("PUT", "/requests/echo", {"GET", "POST", "DELETE"}),
        ("PATCH", "/requests/echo", {"GET", "POST", "DELETE"}),
        ("DELETE", f"/uploads/{UNKNOWN}", {"GET", "POST"}),
        ("POST", f"/downloads/{UNKNOWN}", {"GET"}),
        ("DELETE", f"/downloads/{UNKNOWN}/x.bin", {"GET"}),
        ("PUT", "/auth/keys", {"GET", "POST", "DELETE"}),
        ("PUT", "/auth/users", {"GET", "POST", "PATCH", "DELETE"}),
        ("GET", "/auth/password", {"POST"}),
    ],
)
def test_a_wrong_method_is_405_with_the_right_ones(
    alice: Caller, method: str, path: str, methods: set[str]
) -> None:
    answer = alice(method, path, json={})
    assert message(answer) == (405, WRONG_METHOD)
    assert methods <= allowed(answer)
    assert method not in allowed(answer)


@pytest.mark.parametrize(
    "path",
    ["/test", "/user", "/collections", "/collections/echo", "/requests", "/requests/echo",
     f"/uploads/{UNKNOWN}",
     f"/downloads/{UNKNOWN}", f"/downloads/{UNKNOWN}/x.bin", "/auth/keys", "/auth/users",
     "/auth/password"],
)  # fmt: skip
def test_options_lists_the_methods_and_allows_other_origins_without_credentials(
    nobody: Caller, path: str
) -> None:
    answer = nobody("OPTIONS", path, headers={"Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert allowed(answer) - {"OPTIONS"}
    assert {"GET", "HEAD", "POST", "PATCH", "DELETE"} <= {
        method.strip() for method in answer.headers["Access-Control-Allow-Methods"].split(",")
    }
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()


def test_options_on_an_unknown_path_is_404(nobody: Caller) -> None:
    assert message(nobody("OPTIONS", "/nothing")) == (404, NO_ROUTE)


@pytest.mark.parametrize(
    "path", ["/test", "/user", "/collections", "/requests/strict", f"/requests/{UNKNOWN}", "/none"]
)
def test_head_is_get_without_the_body(alice: Caller, path: str) -> None:
    get, head = alice.get(path), alice("HEAD", path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert lasting_headers(head) == lasting_headers(get)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "json", "text/json"])
@pytest.mark.parametrize(
    "path", ["/requests/echo", "/test", "/nothing", "/auth/keys", f"/downloads/{UNKNOWN}"]
)
def test_a_post_that_is_not_json_is_refused_before_routing_and_credentials(
    nobody: Caller, path: str, kind: str
) -> None:
    answer = nobody("POST", path, data=b"{}", headers={"Content-Type": kind} if kind else {})
    assert message(answer) == (400, "Request must be JSON")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/vnd.polytope+json", "Application/JSON"]
)
def test_every_kind_of_json_is_json(alice: Caller, kind: str) -> None:
    answer = alice("POST", "/requests/echo", data=json.dumps(RETRIEVE), headers={"Content-Type": kind})
    assert answer.status_code == 202


def raw(server: StandaloneServer, request: str) -> bytes:
    """The bytes that come back for a request written by hand, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request.encode("latin-1"))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_header_names_are_written_in_lower_case(server: StandaloneServer) -> None:
    body = json.dumps(RETRIEVE)
    answer = raw(
        server,
        "POST /api/v1/requests/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: {ALICE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}",
    )
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nlocation: ./" in answer
    assert b"\r\nLocation:" not in answer


def test_the_server_does_not_tell_what_it_is_made_of(nobody: Caller) -> None:
    assert "Server" not in nobody.get("/test").headers


def test_http_that_is_no_http_closes_the_connection(server: StandaloneServer) -> None:
    assert raw(server, "what is this?\r\n\r\n").startswith(b"HTTP/1.1 400 ")
