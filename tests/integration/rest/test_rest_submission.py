"""Submission to REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from answers import MALFORMED, NO_REQUEST, NO_VERB, RETRIEVE, Callers, message, pending
from caller import Caller
from gate import Gate


def test_a_retrieve_is_accepted_with_its_relative_location(alice: Caller) -> None:
    answer = alice.post("/requests/echo", RETRIEVE)
    assert answer.status_code == 202
    location = answer.headers["Location"]
    assert re.fullmatch(r"\./[0-9a-f-]{36}", location)
    assert answer.json() == pending(location.removeprefix("./"))
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Content-Type"] == "application/json"


def test_an_archive_without_address_is_accepted_with_the_location_of_its_upload(alice: Caller) -> None:
    for url in ({}, {"url": ""}, {"url": None}):
        answer = alice.post("/requests/echo", {"verb": "archive", "request": {"a": 1}, **url})
        assert answer.status_code == 202
        location = answer.headers["Location"]
        assert re.fullmatch(r"\.\./uploads/[0-9a-f-]{36}", location)
        assert answer.json() == pending(location.removeprefix("../uploads/"), "uploading")
        assert answer.headers["Retry-After"] == "5"


def test_an_archive_from_an_address_is_fetched_by_the_server(alice: Caller, gate: Gate) -> None:
    answer = alice.post("/requests/gate", {"verb": "archive", "request": {}, "url": f"{gate.url}/input"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    request_id = answer.headers["Location"].removeprefix("./")
    assert alice.end_of(request_id).json() == {
        "location": f"./{request_id}", "message": "Success", "status": "processed"
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "file:///etc/passwd", "/etc/passwd", "ftp://127.0.0.1/x", 5, ["x"], {},
     "http://user:secret@127.0.0.1/x", "http://[", "http://127.0.0.1.example.org/"],
)  # fmt: skip
def test_an_archive_from_an_address_that_is_not_allowed_is_refused(alice: Caller, url: Any) -> None:
    answer = alice.post("/requests/gate", {"verb": "archive", "request": {}, "url": url})
    assert message(answer)[0] == 400


def test_the_address_and_unknown_keys_of_a_retrieve_are_ignored(alice: Caller) -> None:
    answer = alice.post("/requests/echo", {**RETRIEVE, "url": "file:///etc/passwd", "collection": "dummy"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a: 1\ndate: '20200101'\n", "a: 1\ndate: '20200101'\n"),
        ("class = od, date = 20200101", "class = od, date = 20200101"),
        ("just a text", "just a text"),
        ("", ""),
        ({"a": 1, "b": [1, "2"], "d": None, "e": True}, '{"a": 1, "b": [1, "2"], "d": null, "e": true}'),
        ([1, 2], "[1, 2]"),
        (7, "7"),
        (None, "null"),
        (True, "true"),
        ("a: größe ☃", "a: größe ☃"),
        ({"a": "☃"}, '{"a": "\\u2603"}'),
    ],
)
def test_a_text_is_kept_as_it_is_and_anything_else_as_json(alice: Caller, value: Any, text: str) -> None:
    link = alice.link("echo", value)
    assert alice.get(link).content.decode() == text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", MALFORMED),
        ("{", MALFORMED),
        ("verb: retrieve", MALFORMED),
        ('{"verb": "retrieve", "request": "\xff"}'.encode("latin-1"), MALFORMED),
        ("[" * 100_000, MALFORMED),
        ("null", NO_VERB),
        ("5", NO_VERB),
        ("true", NO_VERB),
        ('"retrieve"', NO_VERB),
        ("[]", NO_VERB),
        ('["verb"]', NO_VERB),
        ("{}", NO_VERB),
        ('{"request": "x"}', NO_VERB),
        ('{"Verb": "retrieve", "request": "x"}', NO_VERB),
        ('{"verb": "nonsense"}', NO_REQUEST),
        ('{"verb": "retrieve"}', NO_REQUEST),
        ('{"verb": "delete", "request": "x"}', "Transfer type delete not supported"),
        ('{"verb": "RETRIEVE", "request": "x"}', "Transfer type RETRIEVE not supported"),
        ('{"verb": 5, "request": "x"}', "Transfer type 5 not supported"),
        ('{"verb": null, "request": "x"}', "Transfer type None not supported"),
    ],
)
def test_bodies_are_checked_for_json_then_verb_then_request_then_the_verb(
    alice: Caller, body: str | bytes, expected: str
) -> None:
    answer = alice("POST", "/requests/echo", data=body, headers={"Content-Type": "application/json"})
    assert message(answer) == (400, expected)


@pytest.mark.parametrize("verb", [["retrieve"], {"a": 1}, "", "x" * 10_000, "\ud800"])
def test_an_odd_verb_is_refused_briefly(alice: Caller, verb: Any) -> None:
    status, text = message(alice.post("/requests/echo", {"verb": verb, "request": "x"}))
    assert status == 400
    assert text.startswith("Transfer type ")
    assert len(text) < 200


def test_an_archive_to_data_sources_that_do_not_archive_is_refused(alice: Caller) -> None:
    answer = alice.post("/requests/dummy", {"verb": "archive", "request": "5"})
    assert message(answer) == (400, "Transfer type archive not supported")


@pytest.mark.parametrize("body", ["{", "{}", json.dumps(RETRIEVE)])
def test_the_collection_and_the_role_are_checked_before_the_body(alice: Caller, body: str) -> None:
    kind = {"Content-Type": "application/json"}
    unknown = alice("POST", "/requests/unknown", data=body, headers=kind)
    assert message(unknown) == (404, "Unsupported collection type: unknown")
    for collection in ("admins", "nobody"):
        answer = alice("POST", f"/requests/{collection}", data=body, headers=kind)
        assert message(answer) == (403, f"User alice cannot access collection {collection}")


def test_names_of_collections_are_told_apart_by_case(alice: Caller) -> None:
    assert message(alice.post("/requests/Echo", RETRIEVE)) == (404, "Unsupported collection type: Echo")


def test_a_collection_for_a_role_admits_who_has_it(call: Callers) -> None:
    root = call("root")
    assert root.get(root.link("admins", "for admins")).content == b"for admins"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"class": "xx"}, "class"),
        ({}, "class"),
        ({"class": "od", "secretkey": 1}, "secretkey"),
        ("class: [", "line"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: &a [x]\nb: *c", "alias"),
        ({"class": "\ud800"}, ""),
    ],
)
def test_a_request_that_no_data_source_takes_fails_at_the_door_and_says_why(
    alice: Caller, request_: Any, named: str
) -> None:
    count = len(alice.get("/requests/strict").json()["message"])
    status, text = message(alice.post("/requests/strict", {"verb": "retrieve", "request": request_}))
    assert status == 400
    assert named in text
    assert len(alice.get("/requests/strict").json()["message"]) == count


def test_the_reasons_of_the_data_sources_are_listed(alice: Caller) -> None:
    answer = alice.post("/requests/strict", {"verb": "retrieve", "request": {"class": "xx"}})
    first, *others = message(answer)[1].splitlines()
    assert first == "No matching datasource found for request:"
    assert [line.partition(": ")[0] for line in others] == [
        *("Skipping datasource strict", "Skipping datasource echo")
    ]


def test_a_body_beyond_the_limit_is_413(alice: Caller) -> None:
    limit = 512 << 10
    frame = len(json.dumps({**RETRIEVE, "ignored": ""}))
    fits = json.dumps({**RETRIEVE, "ignored": "x" * (limit - frame)})
    kind = {"Content-Type": "application/json"}
    assert len(fits) == limit
    assert alice("POST", "/requests/echo", data=fits, headers=kind).status_code == 202
    expected = 413, f"The body is larger than {limit} bytes"
    assert message(alice("POST", "/requests/echo", data=fits + " ", headers=kind)) == expected
    chunked = (fits[start : start + 100_000].encode() for start in range(0, limit + 200_000, 100_000))
    whole = (*chunked, b" ")
    assert message(alice("POST", "/requests/echo", data=filter(None, whole), headers=kind)) == expected


@pytest.mark.parametrize("url", ["http://127.0.0.1/\ud800", "http://127.0.0.1/" + "x" * 5000, 7])
def test_an_input_address_that_cannot_be_one_is_refused(alice: Caller, url: object) -> None:
    body = {"verb": "archive", "request": {"class": "od"}, "url": url}
    answer = alice("POST", "/requests/echo", json=body)
    assert answer.status_code == 400, answer.text
    assert "'url'" in answer.json()["message"]
