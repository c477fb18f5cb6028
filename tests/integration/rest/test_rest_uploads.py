"""Uploads of REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from answers import UNKNOWN, md5, message, pending
from caller import Caller
from collected import collect
from gate import Gate

from polytope_server.request_store.retention import Reason
from testbed.server import StandaloneServer


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Checksum": md5(b"some data")},
        {"X-Checksum": md5(b"some data").upper()},
        {"X-Checksum": md5(b"some data"), "Content-Type": "application/x-grib"},
        {"X-Checksum": md5(b"some data"), "Content-Type": "application/json"},
        {"Content-MD5": md5(b"some data")},
        {"Content-MD5": base64.b64encode(hashlib.md5(b"some data").digest()).decode()},
        {"X-Checksum": md5(b"some data"), "Content-MD5": md5(b"other")},
    ],
)
def test_an_upload_with_its_checksum_is_accepted(alice: Caller, headers: dict[str, str]) -> None:
    request_id = alice.submit("echo", "x", "archive")
    answer = alice("POST", f"/uploads/{request_id}", data=b"some data", headers=headers)
    assert (answer.status_code, answer.json()) == (202, pending(request_id))
    assert answer.headers["Location"] == f"./{request_id}"
    assert answer.headers["Retry-After"] == "5"
    assert alice.end_of(request_id).status_code == 200


def test_the_data_source_gets_the_bytes_of_a_chunked_upload(alice: Caller, gate: Gate) -> None:
    data = b"hold this upload" + b"y" * 300_000
    request_id = alice.submit("gate", "x", "archive")
    pieces = (data[start : start + 70_000] for start in range(0, len(data), 70_000))
    answer = alice("POST", f"/uploads/{request_id}", data=pieces, headers={"X-Checksum": md5(data)})
    assert answer.status_code == 202
    gate.wait_for(data.decode())
    being = alice("POST", f"/uploads/{request_id}", data=b"other", headers={"X-Checksum": md5(b"other")})
    gate.release(data.decode())
    assert message(being)[0] == 400
    assert alice.end_of(request_id).status_code == 200


def test_an_empty_upload_is_an_upload(alice: Caller) -> None:
    assert alice.end_of(alice.archive("echo", b"", md5(b""))).status_code == 200


@pytest.mark.parametrize("headers", [{"X-Checksum": md5(b"other")}, {"Content-MD5": md5(b"other")}])
def test_an_upload_that_differs_from_its_checksum_is_refused_and_can_be_repeated(
    alice: Caller, headers: dict[str, str]
) -> None:
    request_id = alice.submit("echo", "x", "archive")
    answer = alice("POST", f"/uploads/{request_id}", data=b"some data", headers=headers)
    assert message(answer) == (400, "Uploaded data checksum does not agree with header X-Checksum")
    assert alice.status_of(request_id) == "uploading"
    again = alice("POST", f"/uploads/{request_id}", data=b"other", headers=headers)
    assert again.status_code == 202


@pytest.mark.parametrize(
    "headers", [{}, {"X-Checksum": ""}, {"X-Checksum": "nonsense"}, {"Content-MD5": "AAAA"}]
)
def test_an_upload_without_a_checksum_is_refused(alice: Caller, headers: dict[str, str]) -> None:
    request_id = alice.submit("echo", "x", "archive")
    status, text = message(alice("POST", f"/uploads/{request_id}", data=b"data", headers=headers))
    assert status == 400
    assert "X-Checksum" in text
    assert alice.status_of(request_id) == "uploading"


def test_an_upload_may_be_replaced_until_it_is_processed(alice: Caller) -> None:
    request_id = alice.archive("held", b"first", md5(b"first"))
    again = alice("POST", f"/uploads/{request_id}", data=b"second", headers={"X-Checksum": md5(b"second")})
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    objects = alice.server.data / "staging" / "objects" / request_id
    assert [path.read_bytes() for path in objects.glob("*.bin")] == [b"second"]


def test_an_upload_that_was_processed_is_not_needed_again(alice: Caller) -> None:
    request_id = alice.archive("echo", b"data", md5(b"data"))
    alice.end_of(request_id)
    for headers in ({"X-Checksum": md5(b"data")}, {}):
        answer = alice("POST", f"/uploads/{request_id}", data=b"data", headers=headers)
        assert message(answer) == (200, "Data has already been uploaded")
    assert alice.get(f"/uploads/{request_id}").json()["status"] == "processed"


def test_an_upload_to_what_is_no_archive_is_refused(alice: Caller, gate: Gate) -> None:
    headers = {"X-Checksum": md5(b"data")}
    ended = alice.submit("echo", "x")
    alice.end_of(ended)
    for request_id in (alice.submit("held", "x"), ended):
        answer = alice("POST", f"/uploads/{request_id}", data=b"data", headers=headers)
        assert message(answer) == (400, f"Request {request_id} is not an upload")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (Reason.AGE, "and its result were removed on DAY at TIME UTC: results are kept for a limited time."),
        (Reason.SPACE, "and its result were removed on DAY at TIME UTC: the space was needed."),
    ],
)
def test_an_owner_is_told_when_and_why_a_request_was_removed(
    server: StandaloneServer, alice: Caller, bob: Caller, nobody: Caller, reason: Reason, sentence: str
) -> None:
    link = alice.link("echo", f"removed: {reason}")
    request_id = link.split("/")[2]
    collect(server, request_id, reason)
    pattern = re.escape(f"Request {request_id} {sentence} If you still need it, submit it again.")
    pattern = pattern.replace("DAY", r"\d{4}-\d\d-\d\d").replace("TIME", r"\d\d:\d\d")
    for path in (f"/requests/{request_id}", f"/downloads/{request_id}", f"/uploads/{request_id}"):
        status, text = message(alice.get(path))
        assert (status, bool(re.fullmatch(pattern, text))) == (410, True), (path, text)
    for path in (f"/requests/{request_id}", f"/downloads/{request_id}"):
        assert message(bob.get(path)) == (404, f"Request {request_id} not found")
    assert alice.status_of(request_id) == "gone"
    assert message(nobody.get(link))[0] == message(alice.get(link))[0] == 404


def test_a_revoked_request_is_not_found(alice: Caller) -> None:
    request_id = alice.link("echo", "to be revoked").split("/")[2]
    alice.delete(f"/requests/{request_id}")
    assert message(alice.get(f"/requests/{request_id}")) == (404, f"Request {request_id} not found")


def test_an_upload_to_an_unknown_id_is_400_and_its_poll_410(alice: Caller) -> None:
    headers = {"X-Checksum": md5(b"data")}
    answer = alice("POST", f"/uploads/{UNKNOWN}", data=b"data", headers=headers)
    assert message(answer) == (400, f"Request {UNKNOWN} does not exist")
    gone = alice.get(f"/uploads/{UNKNOWN}")
    assert message(gone)[0] == 410
    assert gone.headers["Deprecation"] == "true"


def test_a_failed_archive_is_400_on_poll_and_on_upload(alice: Caller) -> None:
    request_id = alice.archive("raise", b"data", md5(b"data"))
    expected = 400, "Request failed with error:\nthis data source always fails"
    assert message(alice.end_of(request_id)) == expected
    assert message(alice.get(f"/uploads/{request_id}")) == expected
    answer = alice("POST", f"/uploads/{request_id}", data=b"data", headers={"X-Checksum": md5(b"data")})
    assert message(answer) == expected
