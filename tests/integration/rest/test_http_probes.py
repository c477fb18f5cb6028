"""What public probes of HTTP servers find: heads, framing of bodies, hosts (RFC 9110 and RFC 9112)."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack

import pytest
from http_probes import (
    BODY,
    CHUNKED,
    END,
    FAULTS,
    HOST,
    JSON,
    LENGTH,
    NEXT,
    READ,
    READABLE,
    REFUSED,
    SERVED,
    SUBMIT,
    TEST,
    TOO_LARGE,
    Answer,
    chunk,
    exchange,
    get,
    head,
    in_chunks,
    post,
    read_answer,
)

from testbed.server import StandaloneServer


def message_of(answer: Answer) -> str:
    """The message of an error, which looks as all errors do."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    [(key, text)] = json.loads(answer.body).items()
    assert (key, isinstance(text, str)) == ("message", True)
    return str(text)


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused_and_nothing_after_it_is_read(
    server: StandaloneServer, name: str
) -> None:
    answers = exchange(server.port, [REFUSED[name] + NEXT])
    assert statuses(answers) == [400]
    assert message_of(answers[0])
    assert answers[0].headers["Connection"] == "close"


@pytest.mark.parametrize("name", FAULTS)
def test_a_call_with_a_fault_is_refused_and_the_next_one_is_served(
    server: StandaloneServer, name: str
) -> None:
    answers = exchange(server.port, [FAULTS[name] + NEXT])
    assert statuses(answers) == [400, 200]
    assert message_of(answers[0])


@pytest.mark.parametrize("name", SERVED)
def test_a_call_that_a_server_must_take(server: StandaloneServer, name: str) -> None:
    answers = exchange(server.port, [SERVED[name] + NEXT])
    assert statuses(answers) == [200, 200]
    assert answers[0].headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answers[0].headers["Date"])


@pytest.mark.parametrize("name", READABLE)
def test_a_body_that_a_server_must_read(server: StandaloneServer, name: str) -> None:
    answers = exchange(server.port, [READABLE[name] + NEXT])
    assert statuses(answers) == [400, 200]
    assert message_of(answers[0]) == READ


@pytest.mark.parametrize("pieces", [1, 20])
@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_head_that_is_too_large_is_refused_in_whatever_pieces(
    server: StandaloneServer, name: str, pieces: int
) -> None:
    data = TOO_LARGE[name] + NEXT
    size = -(-len(data) // pieces)
    answers = exchange(server.port, (data[start : start + size] for start in range(0, len(data), size)))
    assert statuses(answers) == [431]
    assert "65536 bytes" in message_of(answers[0])


def test_a_target_of_8000_bytes_is_not_too_long(server: StandaloneServer) -> None:
    answers = exchange(server.port, [get(line=f"GET /{'a' * 7990} HTTP/1.1") + NEXT])
    assert statuses(answers) == [404, 200]


def test_credentials_in_the_trailers_do_not_count(server: StandaloneServer) -> None:
    credentials = next(line for line in post().decode().split("\r\n") if line.startswith("Authorization"))
    late = head(SUBMIT, HOST, JSON, CHUNKED) + chunk() + head("0", credentials)
    assert statuses(exchange(server.port, [late + NEXT])) == [401, 200]


def test_a_body_that_is_compressed_for_its_way_is_not_taken_for_the_body(server: StandaloneServer) -> None:
    answers = exchange(server.port, [post("Transfer-Encoding: gzip, chunked", body=chunk() + END) + NEXT])
    assert statuses(answers) == [501, 200]
    assert "chunked" in message_of(answers[0])


def test_http_1_0_knows_no_chunks(server: StandaloneServer) -> None:
    answers = exchange(server.port, [post(CHUNKED, body=chunk() + END, line=SUBMIT.replace("1.1", "1.0"))])
    assert statuses(answers) == [400]
    assert "Transfer-Encoding" in message_of(answers[0])


@pytest.mark.parametrize(("version", "expected"), [("1.0", [400]), ("1.1", [100, 400])])
def test_only_http_1_1_knows_interim_answers(
    server: StandaloneServer, version: str, expected: list[int]
) -> None:
    call = post(LENGTH, "Expect: 100-continue", "Connection: close", line=SUBMIT.replace("1.1", version))
    assert statuses(exchange(server.port, [call])) == expected


@pytest.mark.parametrize("headers", [[], [HOST]])
def test_http_1_0_needs_no_host_and_ends_the_connection(server: StandaloneServer, headers: list[str]) -> None:
    answers = exchange(server.port, [head(TEST.replace("1.1", "1.0"), *headers)])
    assert statuses(answers) == [200]
    assert answers[0].headers["Connection"] == "close"


def test_a_connection_is_closed_where_the_client_wants_that(server: StandaloneServer) -> None:
    assert statuses(exchange(server.port, [get("Connection: close") + get()])) == [200]


def test_calls_are_answered_in_their_order(server: StandaloneServer) -> None:
    missing = get(line="GET /nowhere HTTP/1.1")
    assert statuses(exchange(server.port, [get() + missing + get() + NEXT])) == [200, 404, 200, 200]


def test_a_call_is_answered_though_no_call_follows_it(server: StandaloneServer) -> None:
    assert statuses(exchange(server.port, [get() + b"\x01\x02 no call\r\n\r\n"])) == [200]
    held = get(line="GET /api/v1/collections HTTP/1.1")
    assert statuses(exchange(server.port, [get() + held + REFUSED["a length that is a word"]])) == [200, 401]


def test_what_another_server_may_take_for_a_call_in_a_body_is_none(server: StandaloneServer) -> None:
    hidden = b"GET /api/v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    for line in (TEST, TEST.replace("GET", "OPTIONS"), TEST.replace("GET", "DELETE")):
        call = head(line, HOST, f"Content-Length: {len(hidden)}") + hidden
        assert 404 not in statuses(exchange(server.port, [call + NEXT]))
    call = head(TEST, HOST, "Content-Length: 0") + NEXT
    assert statuses(exchange(server.port, [call])) == [200, 200]


def test_a_head_has_no_body(server: StandaloneServer) -> None:
    line = TEST.replace("GET", "HEAD")
    for call in (get(line=line), get("Content-Length: 5", line=line) + b"hello"):
        [first, second] = exchange(server.port, [call + NEXT.replace(b"GET", b"HEAD")], "HEAD")
        assert (first.status, second.status) == (200, 200)
        assert int(first.headers["Content-Length"]) > 0


def test_the_server_as_a_whole_has_options(server: StandaloneServer) -> None:
    [answer, _] = exchange(server.port, [get(line="OPTIONS * HTTP/1.1") + NEXT])
    assert (answer.status, answer.body) == (200, b"")
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("TRACE", 405), ("DELETE", 405)])
def test_methods_of_a_route_are_named(server: StandaloneServer, method: str, status: int) -> None:
    secret = "Authorization: Bearer secret-token-123"
    [answer, _] = exchange(server.port, [get(secret, line=TEST.replace("GET", method)) + NEXT])
    assert answer.status == status
    assert "GET" in answer.headers["Allow"]
    assert b"secret" not in answer.body


CALL = head(TEST, HOST)
BEGUN = [
    b"", b"G", b"GET ", b"GET /api/v1/test", b"GET /api/v1/test ", b"GET /api/v1/test HTTP", TEST.encode(),
    TEST.encode() + b"\r", head(TEST)[:-2], *(CALL[:-left] for left in (9, 4, 3, 2, 1)), b"GET /\r\n",
    post(LENGTH)[:-5], post(CHUNKED, body=chunk(BODY)), in_chunks()[:-2],
]  # fmt: skip


def test_the_rest_of_a_call_is_waited_for(server: StandaloneServer) -> None:
    with ExitStack() as stack:
        opened = []
        for begun in BEGUN:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            connection.sendall(begun)
            opened.append(connection)
        # What came before these calls has been read when they are answered.
        for _ in range(3):
            [answer] = exchange(server.port, [head(TEST, HOST, "Connection: close")])
            assert answer.status == 200
        for begun, connection in zip(BEGUN, opened, strict=True):
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                assert connection.recv(1) == b"", begun
            connection.settimeout(20)
        for begun, connection in zip(BEGUN, opened, strict=True):
            if CALL.startswith(begun):
                connection.sendall(CALL.removeprefix(begun))
                answer = read_answer(stack.enter_context(connection.makefile("rb")))
                assert answer is not None
                assert answer.status == 200
