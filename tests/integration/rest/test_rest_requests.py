"""Lists and revocation in REST API v1, and other users' requests (docs/rest-api.md)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from answers import GRACE, RETRIEVE, UNKNOWN, Callers, lasting_headers, md5, message
from caller import Caller
from gate import Gate


def test_the_list_holds_the_callers_requests_in_the_order_of_submission(call: Callers) -> None:
    dave = call("dave")
    ids = [
        dave.submit("echo", "first"),
        dave.submit("held", "second"),
        dave.submit("echo", "third", "archive"),
        dave.submit("raise", "fourth"),
    ]
    dave.end_of(ids[0])
    dave.end_of(ids[3])
    for path in ("/requests", "/requests/"):
        documents = dave.get(path).json()["message"]
        assert [document["id"] for document in documents] == ids
        states = [document["status"] for document in documents]
        assert states == ["processed", "waiting", "uploading", "failed"]
        verbs = [document["verb"] for document in documents]
        assert verbs == ["retrieve", "retrieve", "archive", "retrieve"]
    of_echo = dave.get("/requests/echo").json()["message"]
    assert [document["id"] for document in of_echo] == [ids[0], ids[2]]
    assert dave.get("/requests/dummy").json() == {"message": []}


FIELDS: dict[str, Any] = {
    "id": str, "timestamp": float, "last_modified": float, "user": dict, "verb": str, "url": str,
    "md5": (str, type(None)), "collection": str, "status": str, "user_message": str, "user_request": str,
    "coerced_request": dict, "content_length": (int, type(None)), "content_type": str,
    "status_history": dict, "datasource": str,
}  # fmt: skip


def test_a_document_has_the_fields_of_the_contract(call: Callers) -> None:
    erin = call("erin")
    request_id = erin.submit("strict", {"class": "OD", "step": [1, 2]})
    erin.end_of(request_id)
    [document] = erin.get("/requests").json()["message"]
    assert set(document) == set(FIELDS)
    for name, kind in FIELDS.items():
        assert isinstance(document[name], kind), (name, document[name])
    assert document["user"] == {
        "id": str(uuid.uuid5(uuid.UUID(int=0), "erin4test4")),
        "username": "erin", "realm": "test", "roles": ["default"], "attributes": {},
    }  # fmt: skip
    assert document["collection"] == "strict"
    assert document["datasource"] == "strict"
    assert document["user_message"] == "Success"
    assert json.loads(document["user_request"]) == {"class": "OD", "step": [1, 2]}
    assert document["coerced_request"]["class"].lower() == "od"
    assert document["content_length"] == len(document["user_request"])
    assert list(document["status_history"]) == ["waiting", "queued", "processing", "processed"]
    assert all(isinstance(moment, float) for moment in document["status_history"].values())


def test_a_list_holds_no_key_of_the_user(call: Callers) -> None:
    grace = call(None, Authorization=GRACE)
    grace.submit("held", "x")
    assert "0123456789abcdef0123456789abcdef" not in grace.get("/requests").text


def test_a_waiting_request_is_revoked_and_gone(alice: Caller) -> None:
    request_id = alice.submit("held", "x")
    assert message(alice.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 1 requests")
    assert message(alice.get(f"/requests/{request_id}")) == (404, f"Request {request_id} not found")
    assert alice.status_of(request_id) == "gone"


def test_a_request_in_processing_is_revoked_and_gone(alice: Caller, gate: Gate) -> None:
    request_id = alice.submit("gate", "hold to be revoked")
    gate.wait_for("hold to be revoked")
    assert message(alice.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 1 requests")
    gate.release("hold to be revoked")
    assert alice.get(f"/requests/{request_id}").status_code == 404


def test_a_processed_request_is_revoked_together_with_its_result(alice: Caller) -> None:
    request_id = alice.submit("echo", "x")
    link = alice.end_of(request_id).headers["Location"].removeprefix("..")
    assert alice.get(link).status_code == 200
    assert message(alice.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 1 requests")
    assert alice.get(link).status_code == 404
    assert alice.get(f"/requests/{request_id}").status_code == 404


def test_a_failed_and_an_uploading_request_are_revoked(alice: Caller) -> None:
    failed = alice.submit("raise", "x")
    alice.end_of(failed)
    for request_id in (failed, alice.submit("echo", "x", "archive")):
        assert message(alice.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 1 requests")
        assert message(alice.delete(f"/requests/{request_id}")) == (200, "Successfully revoked 0 requests")


def test_revoking_an_unknown_id_revokes_nothing(alice: Caller) -> None:
    assert message(alice.delete(f"/requests/{UNKNOWN}")) == (200, "Successfully revoked 0 requests")


@pytest.mark.parametrize("word", ["all", "ALL", "All"])
def test_all_revokes_what_has_not_ended_of_the_caller(call: Callers, bob: Caller, word: str) -> None:
    frank = call("frank")
    bobs = bob.submit("held", "x")
    ended = frank.submit("echo", "x")
    frank.end_of(ended)
    frank.submit("held", "x")
    frank.submit("held", "y")
    assert message(frank.delete(f"/requests/{word}")) == (200, "Successfully revoked 2 requests")
    assert message(frank.delete(f"/requests/{word}")) == (200, "Successfully revoked 0 requests")
    assert frank.status_of(ended) == "processed"
    assert bob.status_of(bobs) == "waiting"
    frank.delete(f"/requests/{ended}")


def test_a_collection_cannot_be_deleted(alice: Caller) -> None:
    assert message(alice.delete("/requests/echo")) == (400, "Collections do not support DELETE")


def bobs_request(bob: Caller, gate: Gate, state: str) -> str:
    """A request of bob in that state."""
    if state == "uploading":
        return bob.submit("echo", "x", "archive")
    if state == "waiting":
        return bob.submit("held", "x")
    if state == "processing":
        text = f"hold for others {uuid.uuid4()}"
        request_id = bob.submit("gate", text)
        gate.wait_for(text)
        return request_id
    request_id = bob.submit({"processed": "echo", "failed": "raise"}[state], "x")
    bob.end_of(request_id)
    return request_id


ID_ROUTES = [
    ("GET", "/requests/{}", {}),
    ("HEAD", "/requests/{}", {}),
    ("DELETE", "/requests/{}", {}),
    ("POST", "/requests/{}", {"json": RETRIEVE}),
    ("POST", "/requests/{}", {"json": []}),
    ("GET", "/uploads/{}", {}),
    ("HEAD", "/uploads/{}", {}),
    ("POST", "/uploads/{}", {"data": b"data", "headers": {"X-Checksum": md5(b"data")}}),
    ("POST", "/uploads/{}", {"data": b"data"}),
    ("GET", "/downloads/{}", {}),
    ("HEAD", "/downloads/{}", {}),
    ("GET", "/downloads/{}/0123456789abcdef0123456789abcdef.bin", {}),
]


@pytest.mark.parametrize("state", ["uploading", "waiting", "processing", "processed", "failed"])
def test_another_users_request_looks_exactly_like_an_unknown_one(
    alice: Caller, bob: Caller, gate: Gate, state: str
) -> None:
    bobs = bobs_request(bob, gate, state)
    for method, path, options in ID_ROUTES:

        def look(request_id: str) -> Any:
            answer = alice(method, path.format(request_id), **options)  # noqa: B023 -- called in this round
            text = answer.text.replace(request_id, "<id>")
            return answer.status_code, text, lasting_headers(answer)

        assert look(bobs) == look(UNKNOWN), (method, path)
    assert bob.status_of(bobs) == state
    bob.delete(f"/requests/{bobs}")


def test_the_same_name_in_another_realm_is_another_user(call: Callers, bob: Caller) -> None:
    request_id = bob.submit("held", "x")
    federated = call(None, Authorization="Federation shared-between-two-servers:bob:test")
    assert federated.status_of(request_id) == "waiting"
    assert call(None, Authorization=GRACE).get(f"/requests/{request_id}").status_code == 404
