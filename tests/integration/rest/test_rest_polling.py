"""Polling in REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from answers import UNKNOWN, Background, md5, message, pending
from caller import Caller
from gate import Gate


def test_a_request_that_waits_is_shown_as_queued(alice: Caller) -> None:
    request_id = alice.submit("held", "x")
    answer = alice.poll(request_id, "wait=0")
    assert (answer.status_code, answer.json()) == (202, pending(request_id))
    assert answer.headers["Location"] == f"./{request_id}"
    assert answer.headers["Retry-After"] == "5"
    assert alice.status_of(request_id) == "waiting"


def test_a_request_in_processing_says_so(alice: Caller, gate: Gate) -> None:
    request_id = alice.submit("gate", "hold for its state")
    gate.wait_for("hold for its state")
    answer = alice.poll(request_id, "wait=0")
    gate.release("hold for its state")
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    assert isinstance(answer.json()["message"], str)
    assert answer.json()["message"]
    assert set(answer.json()) == {"message", "status", "id"}
    assert answer.headers["Location"] == f"./{request_id}"
    assert answer.headers["Retry-After"] == "5"


def test_a_request_that_waits_for_its_upload_is_answered_at_once_with_the_place_for_it(alice: Caller) -> None:
    request_id = alice.submit("echo", "x", "archive")
    for path in (f"/requests/{request_id}", f"/uploads/{request_id}"):
        answer = alice.get(path)
        assert answer.status_code == 202
        assert answer.json() == pending(request_id, "uploading")
        assert answer.headers["Location"] == f"../uploads/{request_id}"


def test_a_processed_retrieve_is_a_303_to_its_result_again_and_again(alice: Caller) -> None:
    request_id = alice.submit("echo", "abc")
    first = alice.end_of(request_id)
    assert first.status_code == 303
    location = first.headers["Location"]
    assert re.fullmatch(rf"\.\./downloads/{request_id}/[0-9a-f]{{32}}\.bin", location)
    expected = {"contentLength": 3, "contentType": "application/octet-stream", "location": location}
    assert first.json() == expected
    assert first.headers["Content-Type"] == "application/json"
    assert "Retry-After" not in first.headers
    for path in ("requests", "uploads"):
        again = alice.get(f"/{path}/{request_id}")
        assert (again.status_code, again.headers["Location"], again.json()) == (303, location, expected)
    assert alice.get(urljoin(first.url, location)).content == b"abc"


def test_the_answer_names_the_type_of_the_result(alice: Caller) -> None:
    body = alice.end_of(alice.submit("dummy", "1000")).json()
    assert (body["contentLength"], body["contentType"]) == (1000, "application/x-grib")
    assert body["location"].endswith(".grib")


def test_a_failed_request_is_400_with_the_message_of_the_data_source(alice: Caller) -> None:
    request_id = alice.submit("raise", "x")
    for _ in range(2):
        answer = alice.end_of(request_id)
        assert message(answer) == (400, "Request failed with error:\nthis data source always fails")


def test_a_processed_archive_is_200(alice: Caller) -> None:
    request_id = alice.archive("echo", b"data", md5(b"data"))
    assert alice.end_of(request_id).json() == {
        "location": f"./{request_id}", "message": "Success", "status": "processed"
    }  # fmt: skip


def test_an_unknown_id_is_404(alice: Caller) -> None:
    for name in (UNKNOWN, "x", "ALL", "all"):
        assert message(alice.get(f"/requests/{name}")) == (404, f"Request {name} not found")


def test_a_poll_is_held_and_answered_when_the_request_is_processed(
    alice: Caller, bob: Caller, gate: Gate, in_background: Background
) -> None:
    request_id = alice.submit("gate", "hold a poll")
    polling = in_background(alice.poll, request_id)
    gate.wait_for("hold a poll")
    assert alice.twin().poll(request_id, "wait=0").status_code == 202
    assert not polling.done()
    gate.release("hold a poll")
    assert polling.result(60).status_code == 303


def test_a_poll_is_held_and_answered_when_the_request_fails(
    alice: Caller, gate: Gate, in_background: Background
) -> None:
    request_id = alice.submit("gate", "hold and fail")
    polling = in_background(alice.poll, request_id)
    gate.wait_for("hold and fail")
    assert not polling.done()
    gate.release("hold and fail")
    assert message(polling.result(60)) == (400, "Request failed with error:\nrefused: hold and fail")


def test_a_poll_is_held_and_answered_when_the_request_is_revoked(
    alice: Caller, gate: Gate, in_background: Background
) -> None:
    request_id = alice.submit("gate", "hold and revoke")
    gate.wait_for("hold and revoke")
    polling = in_background(alice.poll, request_id)
    other = alice.twin()
    assert message(other.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 1 requests")
    assert message(polling.result(60)) == (404, f"Request {request_id} not found")
    gate.release("hold and revoke")


@pytest.mark.parametrize("preference", ["wait=0", "respond-async, wait=0", "wait=1", "WAIT=0"])
def test_a_client_may_prefer_a_shorter_hold(alice: Caller, preference: str) -> None:
    # The server of these tests holds a poll for longer than its caller waits for an answer.
    request_id = alice.submit("held", "x")
    assert alice.poll(request_id, preference).status_code == 202
    alice.delete(f"/requests/{request_id}")
