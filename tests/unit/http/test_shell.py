"""What is the same for every call: its id in the answer and in the log, and heads that are refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from polytope_server.http.shell import Shell, answer_error
from polytope_server.runtime import log
from polytope_server.settings.root import LoggingSettings

logger = logging.getLogger(__name__)

#: The id of a request.
REQUEST = "5b3a7cba-7b5e-4b8e-9d60-0e9c0a1f2b3c"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


async def answer_to(*headers: tuple[bytes, bytes], path: str = "/", **scope: Any) -> dict[str, Any]:
    """Status, headers and body of the answer of an application that logs a line about a request."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.request_id.set(REQUEST)
        logger.warning("about a request")
        await answer_error(send, 418, "an error")

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http", "method": "GET", "path": path, "http_version": "1.1",
        "headers": [(b"host", b"x"), *headers], **scope,
    }  # fmt: skip
    await Shell(app, [(b"x-always", b"1")], [])(scope, None, send)  # type: ignore[arg-type]
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {
        "status": sent[0]["status"],
        **found,
        "body": b"".join(event.get("body", b"") for event in sent[1:]),
    }


@pytest.mark.parametrize(
    "given",
    [
        "4bf92f3577b34da6a3ce929d0e0e4736",
        REQUEST,
        "1-67891233-abcdef012345678912345678",
        "a:b.c_d=e",
        "x" * 100,
    ],
)
async def test_an_id_that_the_caller_gives_is_taken(given: str) -> None:
    answer = await answer_to((b"x-request-id", given.encode()))
    assert (answer["status"], answer["x-request-id"], answer["x-always"]) == (418, given, "1")
    assert log.call_id.get() == given


@pytest.mark.parametrize(
    "given",
    [
        b"", b" ", b"a b", b"a,b", b"a\tb", b"a\x1b[1m", b"a/b", b"<b>", b'"', b"%0d%0a", b"-x", b"\xc3\xa9",
        b"x" * 101, b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", b"password=hunter22",
    ],
)  # fmt: skip
async def test_another_one_is_not(given: bytes) -> None:
    answer = await answer_to((b"x-request-id", given))
    assert len(answer["x-request-id"]) == 12
    assert answer["x-request-id"] == log.call_id.get()


async def test_two_ids_are_none() -> None:
    answer = await answer_to((b"x-request-id", b"a"), (b"x-request-id", b"b"))
    assert answer["x-request-id"] not in ("a", "b")


async def test_calls_without_an_id_get_one_each() -> None:
    first, second = await answer_to(), await answer_to()
    assert first["x-request-id"] != second["x-request-id"]


async def test_a_call_that_is_refused_has_an_id_and_all_headers() -> None:
    answer = await answer_to((b"host", b"y"), (b"x-request-id", b"mine"))
    assert (answer["status"], answer["x-request-id"], answer["x-always"]) == (400, "mine", "1")
    assert b"mine" not in answer["body"]


async def test_a_line_of_the_log_has_the_id_of_the_call_beside_that_of_the_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure(LoggingSettings(), "frontend")
    await answer_to((b"x-request-id", b"mine"))
    line = json.loads(capsys.readouterr().err)
    assert (line["request_id"], line["call_id"]) == (REQUEST, "mine")


async def test_a_call_is_not_about_the_request_of_the_call_before(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LoggingSettings.model_validate({"mode": "console"}), "frontend")
    await answer_to((b"x-request-id", b"mine"))
    assert capsys.readouterr().err.endswith(f"about a request  [{REQUEST}]  [call mine]\n")
    # On one connection the next call may begin where this one has ended.
    log.begin_call(b"next")
    logger.warning("about none")
    assert capsys.readouterr().err.endswith("about none  [call next]\n")
