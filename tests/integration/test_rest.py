"""The wire contract of REST API v1 (docs/rest-api.md), over real sockets against a whole server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest
import requests
from collected import collect

from polytope_server.request_store.retention import Reason
from testbed.server import StandaloneServer, basic

if TYPE_CHECKING:
    from conftest import Caller, Gate

    Callers = Callable[..., Caller]
    Background = Callable[..., Future[Any]]

MALFORMED = "The browser (or proxy) sent a request that this server could not understand."
NO_ROUTE = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
WRONG_METHOD = "The method is not allowed for the requested URL."
NO_VERB = "HTTP request content is missing 'verb' (e.g. retrieve)"
NO_REQUEST = "HTTP request content is missing 'request'"
RETRIEVE = {"verb": "retrieve", "request": "x"}
ALICE = basic("alice", "alice's password")["Authorization"]
BOB = basic("bob", "bob's password")["Authorization"]
GRACE = "EmailKey grace@example.org:0123456789abcdef0123456789abcdef"
PEER = "Federation shared-between-two-servers:somebody:test"
JSON = {"Content-Type": "application/json"}
#: A time in an answer.
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def message(answer: requests.Response) -> tuple[int, str]:
    """Status and message of an answer that says nothing else."""
    body = answer.json()
    assert list(body) == ["message"], body
    return answer.status_code, body["message"]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def allowed(answer: requests.Response) -> set[str]:
    return {method.strip() for method in answer.headers["Allow"].split(",")}


# --- routes, methods, headers ----------------------------------------------------------------------------


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
    ["/test", "/user", "/collections", "/requests", "/requests/echo", f"/uploads/{UNKNOWN}",
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
    assert without_date(head) == without_date(get)


def without_date(answer: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name.lower() != "date"}


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


# --- who calls -------------------------------------------------------------------------------------------


def whoami(caller: Caller) -> str:
    """The user name as the server knows it."""
    status, text = message(caller.post("/requests/nobody", {}))
    assert status == 403
    return re.fullmatch(r"User (\S+) cannot access collection nobody", text)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "nonsense",
        "Digest abc",
        f"Basic {b64('alice:wrong')}",
        f"Basic {b64('mallory:wrong')}",
        f"Basic {b64('alice')}",
        f"Basic {b64(':')}",
        "Basic !!!",
        "Basic /w==",
        "EmailKey",
        "EmailKey no-colon",
        "EmailKey grace@example.org:wrong",
        "EmailKey other@example.org:0123456789abcdef0123456789abcdef",
        "EmailKey :",
        "Bearer 0123456789abcdef0123456789abcdef",
        "Federation shared-between-two-servers:bob:mail",
        "Federation wrong:bob:test",
        "Federation shared-between-two-servers",
        "Federation shared-between-two-servers:bob",
        ",",
        ", , ,",
        f"Basic {b64('alice:wrong')}, Bearer wrong, EmailKey a:b",
    ],
)
def test_missing_and_wrong_credentials_are_401_with_a_challenge_for_each_scheme(
    call: Callers, header: str | None
) -> None:
    answer = call(None, **({} if header is None else {"Authorization": header})).get("/user")
    assert answer.status_code == 401
    challenges = answer.headers["WWW-Authenticate"]
    assert 'Basic realm="test"' in challenges
    assert 'EmailKey realm="mail"' in challenges


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/user"),
        ("GET", "/collections"),
        ("GET", "/requests"),
        ("GET", "/requests/"),
        ("GET", "/requests/echo"),
        ("POST", "/requests/echo"),
        ("POST", "/requests/unknown"),
        ("DELETE", "/requests/all"),
        ("GET", f"/requests/{UNKNOWN}"),
        ("GET", f"/uploads/{UNKNOWN}"),
        ("POST", f"/uploads/{UNKNOWN}"),
        ("GET", f"/downloads/{UNKNOWN}"),
        ("GET", "/auth/keys"),
        ("POST", "/auth/keys"),
        ("DELETE", "/auth/keys"),
        ("GET", "/auth/users"),
        ("POST", "/auth/users"),
        ("PATCH", "/auth/users"),
        ("DELETE", "/auth/users"),
        ("POST", "/auth/password"),
    ],
)
def test_every_route_but_test_and_the_links_asks_for_credentials(
    nobody: Caller, method: str, path: str
) -> None:
    assert nobody(method, path, json={}).status_code == 401


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (ALICE, "alice"),
        (ALICE.replace("Basic", "basic"), "alice"),
        (ALICE.replace("Basic", "BASIC"), "alice"),
        (GRACE, "grace"),
        (GRACE.replace("EmailKey", "emailkey"), "grace"),
        (GRACE.replace("grace@example.org", "Grace@Example.ORG"), "grace"),
        ("Federation shared-between-two-servers:bob:test", "bob"),
        (f"{ALICE}, {BOB}", "alice"),
        (f"{ALICE},{BOB}", "alice"),
        (f"Basic {b64('alice:wrong')}, {BOB}", "bob"),
        (f"{ALICE}, Basic {b64('bob:wrong')}", "alice"),
        (f"EmailKey me@x:KEY, Bearer KEY, {ALICE}", "alice"),
        (f"EmailKey me@x:KEY,Bearer KEY,{ALICE}", "alice"),
        (f"{GRACE}, Bearer 0123456789abcdef0123456789abcdef, {ALICE}", "grace"),
        (f"nonsense, {ALICE}", "alice"),
        (f"Digest abc, , {ALICE}, ", "alice"),
    ],
)
def test_of_several_credentials_the_first_right_one_counts(call: Callers, header: str, user: str) -> None:
    assert whoami(call(None, Authorization=header)) == user


def test_a_password_may_hold_a_colon_and_other_letters(
    extras: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(extras, None, **basic("colon", "pass:wörd, with comma"))
    assert caller.get("/user").status_code == 200


# --- collections, user -----------------------------------------------------------------------------------


def test_collections_are_those_of_the_callers_roles_in_the_order_of_the_configuration(call: Callers) -> None:
    everybodys = ["gate", "echo", "dummy", "raise", "strict", "held"]
    assert call("alice").get("/collections").json() == {"message": everybodys}
    assert call("root").get("/collections").json() == {"message": ["gate", "echo", "admins", *everybodys[2:]]}


def test_the_user_is_told_the_number_of_live_requests_as_text(call: Callers) -> None:
    carol = call("carol")
    assert carol.get("/user").json() == {"live requests": "0"}
    carol.submit("held", "waits")
    uploading = carol.submit("echo", "x", "archive")
    carol.end_of(carol.submit("echo", "x"))
    carol.end_of(carol.submit("raise", "x"))
    assert carol.get("/user").json() == {"live requests": "2"}
    carol.delete(f"/requests/{uploading}")
    assert carol.get("/user").json() == {"live requests": "1"}


# --- submit ----------------------------------------------------------------------------------------------


def test_a_retrieve_is_accepted_with_its_relative_location(alice: Caller) -> None:
    answer = alice.post("/requests/echo", RETRIEVE)
    assert answer.status_code == 202
    assert answer.json() == {"message": "Request queued", "status": "queued"}
    assert re.fullmatch(r"\./[0-9a-f-]{36}", answer.headers["Location"])
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Content-Type"] == "application/json"


def test_an_archive_without_address_is_accepted_with_the_location_of_its_upload(alice: Caller) -> None:
    for url in ({}, {"url": ""}, {"url": None}):
        answer = alice.post("/requests/echo", {"verb": "archive", "request": {"a": 1}, **url})
        assert answer.status_code == 202
        assert answer.json() == {"message": "Request uploading", "status": "uploading"}
        assert re.fullmatch(r"\.\./uploads/[0-9a-f-]{36}", answer.headers["Location"])
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
    first, second = message(answer)[1].splitlines()
    assert first == "No matching datasource found for request:"
    assert second.startswith("Skipping datasource strict: ")


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


# --- poll ------------------------------------------------------------------------------------------------


def test_a_request_that_waits_is_shown_as_queued(alice: Caller) -> None:
    request_id = alice.submit("held", "x")
    answer = alice.poll(request_id, "wait=0")
    assert (answer.status_code, answer.json()) == (202, {"message": "Request queued", "status": "queued"})
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
    assert set(answer.json()) == {"message", "status"}
    assert answer.headers["Location"] == f"./{request_id}"
    assert answer.headers["Retry-After"] == "5"


def test_a_request_that_waits_for_its_upload_is_answered_at_once_with_the_place_for_it(alice: Caller) -> None:
    request_id = alice.submit("echo", "x", "archive")
    for path in (f"/requests/{request_id}", f"/uploads/{request_id}"):
        answer = alice.get(path)
        assert answer.status_code == 202
        assert answer.json() == {"message": "Request uploading", "status": "uploading"}
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


def test_the_type_of_the_result_is_told(alice: Caller) -> None:
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


# --- list ------------------------------------------------------------------------------------------------


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


# --- revoke ----------------------------------------------------------------------------------------------


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


# --- another user's requests -----------------------------------------------------------------------------


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
            return answer.status_code, text, without_date(answer)

        assert look(bobs) == look(UNKNOWN), (method, path)
    assert bob.status_of(bobs) == state
    bob.delete(f"/requests/{bobs}")


def test_the_same_name_in_another_realm_is_another_user(call: Callers, bob: Caller) -> None:
    request_id = bob.submit("held", "x")
    federated = call(None, Authorization="Federation shared-between-two-servers:bob:test")
    assert federated.status_of(request_id) == "waiting"
    assert call(None, Authorization=GRACE).get(f"/requests/{request_id}").status_code == 404


# --- downloads -------------------------------------------------------------------------------------------

TEXT = "".join(f"line {n}\n" for n in range(5_000))
DATA = TEXT.encode()


@pytest.fixture(scope="module")
def link(server: StandaloneServer) -> str:
    """The address of a result that holds `DATA`."""
    session = server.session("alice")
    answer = server.poll(session, server.submit(session, "echo", TEXT))
    return str(answer.headers["Location"].removeprefix(".."))


def test_a_result_is_public_whole_and_described(nobody: Caller, link: str) -> None:
    answer = nobody.get(link, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert answer.status_code == 200
    assert answer.content == DATA
    request_id = link.split("/")[2]
    expected = {
        "content-type": "application/octet-stream",
        "content-length": str(len(DATA)),
        "content-md5": md5(DATA),
        "content-disposition": f'attachment; filename="{request_id}.bin"',
        "accept-ranges": "bytes",
    }
    assert expected.items() <= without_date(answer).items()
    assert not {"content-encoding", "transfer-encoding"} & set(without_date(answer))
    assert re.fullmatch('"[^"]+"', answer.headers["ETag"])


@pytest.mark.parametrize("header", [ALICE, BOB, "Basic wrong", "nonsense"])
def test_a_result_may_be_fetched_with_any_credentials(call: Callers, link: str, header: str) -> None:
    assert call(None, Authorization=header).get(link).content == DATA


@pytest.mark.parametrize(("size", "extension"), [(0, "grib"), (1, "grib"), (3_000_001, "grib")])
def test_results_of_all_sizes_come_whole(alice: Caller, size: int, extension: str) -> None:
    link = alice.link("dummy", str(size))
    answer = alice.get(link)
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["Content-Type"] == "application/x-grib"
    assert answer.headers["Content-Disposition"].endswith(f'.{extension}"')
    assert answer.content == b"x" * size


def test_head_of_a_result_is_get_without_the_bytes(nobody: Caller, link: str) -> None:
    get, head = nobody.get(link), nobody("HEAD", link)
    assert (head.status_code, head.content) == (200, b"")
    assert without_date(head) == without_date(get)
    assert head.headers["Content-Length"] == str(len(DATA))


def test_head_takes_no_range(nobody: Caller, link: str) -> None:
    head = nobody("HEAD", link, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(DATA)))


N = len(DATA)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, N - 1),
        (f"bytes={N - 1}-", N - 1, N - 1),
        ("bytes=-1", N - 1, N - 1),
        ("bytes=-100", N - 100, N - 1),
        (f"bytes=-{N + 5}", 0, N - 1),
        (f"bytes=5-{N + 1000}", 5, N - 1),
        ("bytes=7000-14000", 7000, 14000),
    ],
)
def test_a_range_gives_those_bytes(nobody: Caller, link: str, wanted: str, first: int, last: int) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == DATA[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{N}"
    assert answer.headers["Content-Length"] == str(last + 1 - first)
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("wanted", [f"bytes={N}-", f"bytes={N}-{N + 5}", "bytes=-0", "bytes=99999999999999-"])
def test_a_range_outside_of_the_result_is_416(nobody: Caller, link: str, wanted: str) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{N}"


@pytest.mark.parametrize(
    "wanted", ["bytes=-", "bytes=5-4", "bytes=0-1,5-6", "lines=0-1", "bytes", "bytes=a-b", "bytes=0x1-2", ""]
)
def test_a_range_that_is_none_is_ignored(nobody: Caller, link: str, wanted: str) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_a_range_can_depend_on_the_version(nobody: Caller, link: str) -> None:
    etag = nobody("HEAD", link).headers["ETag"]
    same = nobody.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (same.status_code, same.content) == (206, DATA[:10])
    for other in ('"other"', f"W/{etag}", "Mon, 01 Jan 2024 00:00:00 GMT"):
        answer = nobody.get(link, headers={"Range": "bytes=0-9", "If-Range": other})
        assert (answer.status_code, answer.content) == (200, DATA)


def test_a_result_that_the_client_has_is_not_sent_again(nobody: Caller, link: str) -> None:
    etag = nobody("HEAD", link).headers["ETag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = nobody.get(link, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag), known
    assert nobody.get(link, headers={"If-None-Match": '"other"'}).content == DATA


@pytest.mark.parametrize(
    "name",
    [f"{UNKNOWN}/0123456789abcdef0123456789abcdef.bin", f"{UNKNOWN}/..%2f..%2fconfig.yaml", "..%2f../x.bin",
     "%2e%2e/config.yaml", f"{UNKNOWN}/x", f"{UNKNOWN}/%00.bin"],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_404(nobody: Caller, name: str) -> None:
    assert nobody.get(f"/downloads/{name}").status_code == 404


def test_the_staged_bytes_are_not_found_without_the_token(nobody: Caller, link: str) -> None:
    request_id = link.split("/")[2]
    assert nobody.get(f"/downloads/{request_id}/{'0' * 32}.bin").status_code == 404
    assert nobody.get(f"{link}.meta").status_code == 404


def test_the_owner_is_led_from_the_id_to_the_link(alice: Caller, nobody: Caller, link: str) -> None:
    request_id = link.split("/")[2]
    assert nobody.get(f"/downloads/{request_id}").status_code == 401
    answer = alice.get(f"/downloads/{request_id}")
    assert answer.status_code == 303
    assert urljoin(answer.url, answer.headers["Location"]) == f"{alice.server.url}{link}"


def test_the_id_of_what_is_no_result_leads_nowhere(alice: Caller) -> None:
    waiting = alice.submit("held", "x")
    failed = alice.submit("raise", "x")
    alice.end_of(failed)
    for request_id in (waiting, failed):
        answer = alice.get(f"/downloads/{request_id}")
        assert message(answer) == (400, f"Request {request_id} not ready for download yet")
    archive = alice.submit("echo", "x", "archive")
    assert message(alice.get(f"/downloads/{archive}")) == (400, f"Request {archive} is not a download")
    assert message(alice.get(f"/downloads/{UNKNOWN}")) == (404, f"Request {UNKNOWN} not found")


# --- uploads ---------------------------------------------------------------------------------------------


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
    assert (answer.status_code, answer.json()) == (202, {"message": "Request queued", "status": "queued"})
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
    ("reason", "told"),
    [
        (Reason.AGE, "and its result were removed on DAY at TIME UTC: results are kept for a limited time."),
        (Reason.SPACE, "and its result were removed on DAY at TIME UTC: the space was needed."),
    ],
)
def test_an_owner_is_told_when_and_why_a_request_was_removed(
    server: StandaloneServer, alice: Caller, bob: Caller, nobody: Caller, reason: Reason, told: str
) -> None:
    link = alice.link("echo", f"removed: {reason}")
    request_id = link.split("/")[2]
    collect(server, request_id, reason)
    pattern = re.escape(f"Request {request_id} {told} If you still need it, submit it again.")
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


# --- peers, proxies, public addresses --------------------------------------------------------------------


def test_a_peer_gets_absolute_locations_from_submission_to_data(
    call: Callers, server: StandaloneServer
) -> None:
    peer = call(None, Authorization=PEER)
    answer = peer.post("/requests/echo", {"verb": "retrieve", "request": "federated"})
    location = answer.headers["Location"]
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "5")
    assert re.fullmatch(rf"{re.escape(server.url)}/requests/[0-9a-f-]{{36}}", location)
    ended = peer.end_of(location.rpartition("/")[2])
    assert ended.status_code == 303
    assert ended.headers["Location"].startswith(f"{server.url}/downloads/")
    assert ended.json()["location"] == f"..{ended.headers['Location'].removeprefix(server.url)}"
    assert call(None).get(ended.headers["Location"]).content == b"federated"


def test_a_peer_archives_through_absolute_locations(call: Callers, server: StandaloneServer) -> None:
    peer = call(None, Authorization=PEER)
    answer = peer.post("/requests/echo", {"verb": "archive", "request": {}})
    assert answer.headers["Location"].startswith(f"{server.url}/uploads/")
    uploaded = peer("POST", answer.headers["Location"], data=b"x", headers={"X-Checksum": md5(b"x")})
    assert (uploaded.status_code, uploaded.headers["Retry-After"]) == (202, "5")
    location = uploaded.headers["Location"]
    assert location.startswith(f"{server.url}/requests/")
    assert peer.end_of(location.rpartition("/")[2]).status_code == 200


def test_a_peer_acts_for_the_user_and_the_authorizers_still_run(call: Callers) -> None:
    assert whoami(call(None, Authorization="Federation shared-between-two-servers:zoe:test")) == "zoe"
    as_root = call(None, Authorization="Federation shared-between-two-servers:root:test")
    assert "admins" in as_root.get("/collections").json()["message"]


FORWARDED = {
    "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "polytope.example.org",
    "X-Forwarded-Port": "8443", "X-Forwarded-Prefix": "/some/prefix",
}  # fmt: skip


def test_forwarded_headers_are_ignored_unless_trusted(call: Callers, server: StandaloneServer) -> None:
    answer = call(None, Authorization=PEER, **FORWARDED).post("/requests/held", RETRIEVE)
    assert answer.headers["Location"].startswith(f"{server.url}/requests/")


@pytest.mark.parametrize(
    ("changed", "base"),
    [
        ({}, "https://polytope.example.org:8443/some/prefix"),
        ({"X-Forwarded-Port": ""}, "https://polytope.example.org/some/prefix"),
        ({"X-Forwarded-Prefix": "/"}, "https://polytope.example.org:8443"),
        ({"X-Forwarded-Proto": "gopher"}, "http://polytope.example.org:8443/some/prefix"),
        (
            {"X-Forwarded-Host": "evil.example, polytope.example.org"},
            "https://polytope.example.org:8443/some/prefix",
        ),
    ],
)
def test_behind_a_proxy_locations_are_those_that_the_client_used(
    extras: StandaloneServer, caller_of: type[Caller], changed: dict[str, str], base: str
) -> None:
    peer = caller_of(extras, None, Authorization=PEER, **{**FORWARDED, **changed})
    answer = peer.post("/requests/held", RETRIEVE)
    assert answer.status_code == 202
    assert answer.headers["Location"].startswith(f"{base}/api/v1/requests/")


def test_behind_a_proxy_relative_locations_stay_relative(
    extras: StandaloneServer, caller_of: type[Caller]
) -> None:
    answer = caller_of(extras, "alice", **FORWARDED).post("/requests/held", RETRIEVE)
    assert answer.headers["Location"].startswith("./")


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with a public address, short limits, and submissions that wait for early failures."""
    config = {
        "frontend": {
            "public_url": "https://polytope.example.org/p/",
            "submit_wait": 120,
            "max_body": 1000,
            "max_upload": "1K",
        }
    }
    with StandaloneServer(tmp_path_factory.mktemp("public") / "data", config) as server:
        yield server


def test_a_public_address_makes_every_location_absolute(
    public: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(public)
    base = "https://polytope.example.org/p/api/v1"
    answer = caller.post("/requests/echo", RETRIEVE)
    request_id = answer.headers["Location"].removeprefix(f"{base}/requests/")
    ended = caller.end_of(request_id)
    assert ended.headers["Location"].startswith(f"{base}/downloads/{request_id}/")
    assert ended.json()["location"].startswith(f"../downloads/{request_id}/")
    led = caller.get(f"/downloads/{request_id}")
    assert (led.status_code, led.headers["Location"]) == (303, ended.headers["Location"])
    archive = caller.post("/requests/echo", {"verb": "archive", "request": {}})
    assert archive.headers["Location"].startswith(f"{base}/uploads/")


def test_an_early_failure_is_told_on_the_submission_and_success_is_not(
    public: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(public)
    failed = caller.post("/requests/raise", RETRIEVE)
    assert message(failed) == (400, "Request failed with error:\nthis data source always fails")
    good = caller.post("/requests/echo", RETRIEVE)
    assert (good.status_code, good.json()) == (202, {"message": "Request queued", "status": "queued"})


def test_the_limits_of_bodies_and_uploads_can_be_set(
    public: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(public)
    assert message(caller.post("/requests/echo", {**RETRIEVE, "x": "y" * 1000}))[0] == 413
    request_id = caller.submit("echo", "x", "archive")
    for data in (b"x" * 1025, iter([b"x" * 1000, b"x" * 25])):
        headers = {"X-Checksum": md5(b"x" * 1025)}
        assert message(caller("POST", f"/uploads/{request_id}", data=data, headers=headers))[0] == 413
    fits = b"x" * 1024
    answer = caller("POST", f"/uploads/{request_id}", data=fits, headers={"X-Checksum": md5(fits)})
    assert answer.status_code == 202


# --- keys, users, anonymous ------------------------------------------------------------------------------


def test_keys_and_users_are_501_where_they_are_not_configured(call: Callers) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = call("alice")(method, "/auth/keys", json={})
        assert message(answer) == (501, "API key generation is not enabled.")
    off = (501, "This Polytope server is not configured with identity management.")
    for method in ("GET", "POST", "PATCH", "DELETE"):
        new = {"username": "x", "password": "y", "role": "z"}
        assert message(call("root")(method, "/auth/users", json=new)) == off
    assert message(call("alice").post("/auth/password", {})) == off


@pytest.fixture(scope="module")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with identities, API keys, an anonymous user and a trusted proxy."""
    users = [{"uid": name, "password": f"{name}'s password"} for name in ("alice", "bob", "root")]
    users.append({"uid": "colon", "password": "pass:wörd, with comma"})
    config = {
        "frontend": {"proxy_support": True},
        "authentication": {
            "test": {
                "authenticators": {"plain": {"type": "plain", "users": users}},
                "authorizers": {"admins": {"type": "plain", "roles": {"admin": ["root"]}}},
            },
            "people": {
                "authenticators": {"accounts": {"type": "sql"}},
                "authorizers": {"roles": {"type": "sql"}},
            },
            "guests": {"authenticators": {"anyone": {"type": "anonymous"}}, "authorizers": {}},
        },
        "identity": {"sql": {"realm": "people"}},
        "api-keys": {"generator": {"type": "sql", "allowed_realms": ["test", "people"]},
                     "authenticator": {"type": "sql"}},
        "federation": {"peer": {"secret": "shared-between-two-servers"}},
        "admin": {"roles": {"test": ["admin"]}},
        "datasources": {"echo": {"type": "echo"}},
        "collections": {
            "echo": {"roles": {"test": "default", "people": "scientist"}, "datasources": ["echo"]},
            "open": {"roles": {"guests": "default", "test": "default"}, "datasources": ["echo"]},
            "held": {"roles": {"test": "default"}, "datasources": ["echo"], "limits": {"total": 0}},
            "nobody": {"datasources": ["echo"]},
        },
    }  # fmt: skip
    with StandaloneServer(tmp_path_factory.mktemp("extras") / "data", config) as server:
        yield server


@pytest.fixture
def at_extras(extras: StandaloneServer, caller_of: type[Caller]) -> Callers:
    return lambda user="alice", **headers: caller_of(extras, user, **headers)


def test_a_key_stands_for_the_user_who_made_it(at_extras: Callers) -> None:
    answer = at_extras("alice").post("/auth/keys", {})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"key", "expires"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", body["expires"])
    with_key = at_extras(None, Authorization=f"Bearer {body['key']}")
    assert whoami(with_key) == "alice"
    assert with_key.status_of(at_extras("alice").submit("held", "x")) == "waiting"
    assert at_extras(None, Authorization=f"Bearer {body['key']}x").get("/user").status_code == 401
    assert body["key"] not in at_extras("alice").get("/requests").text


def test_a_key_keeps_the_roles_of_its_user(at_extras: Callers) -> None:
    key = at_extras("root").post("/auth/keys", {}).json()["key"]
    answer = at_extras(None, Authorization=f"Bearer {key}").delete("/auth/users", json={"username": "nobody"})
    assert message(answer) == (404, "User nobody does not exist")


def test_a_key_is_only_made_for_realms_that_are_allowed(at_extras: Callers) -> None:
    answer = at_extras(None).post("/auth/keys", {})
    assert message(answer) == (403, "Not allowed to create an API Key for users in realm guests")


def test_a_user_is_added_logs_in_holds_the_role_and_is_removed(at_extras: Callers) -> None:
    root = at_extras("root")
    new = {"username": "heidi", "password": "secret of heidi", "role": "scientist"}
    ignored = {"group": "x", "soft_limit": "1", "hard_limit": "10"}
    heidi = at_extras(None, **basic("heidi", "secret of heidi"))
    assert heidi.get("/user").status_code == 401
    assert message(root.post("/auth/users", {**new, **ignored})) == (200, "Successfully added user")
    assert message(root.post("/auth/users", new)) == (409, "Username already registered")
    assert heidi.get("/collections").json() == {"message": ["echo"]}
    assert heidi.get("/requests").json() == {"message": []}
    assert at_extras(None, **basic("heidi", "wrong")).get("/user").status_code == 401
    key = heidi.post("/auth/keys", {}).json()["key"]
    (listed,) = [user for user in root.get("/auth/users").json()["message"] if user["username"] == "heidi"]
    assert listed.keys() == {"username", "roles", "created"}
    assert listed["roles"] == ["scientist"]
    assert re.fullmatch(STAMP, listed["created"])
    answer = root.delete("/auth/users", json={"username": "heidi"})
    assert message(answer) == (200, "Successfully removed user")
    answer = root.delete("/auth/users", json={"username": "heidi"})
    assert message(answer) == (404, "User heidi does not exist")
    assert heidi.get("/user").status_code == 401
    assert at_extras(None, Authorization=f"Bearer {key}").get("/user").status_code == 401


def test_the_calls_of_polytope_admin(at_extras: Callers) -> None:
    """`polytope-admin login root`, `create user`, `delete user`, as it sends them."""
    login = at_extras(None, **basic("root", "root's password")).post("/auth/keys", {})
    assert login.status_code == 200
    key = login.json()["key"]
    password = basic("root", "root's password")["Authorization"]
    headers = [f"Bearer {key}", f"EmailKey root@example.org:{key}, Bearer {key}", f"Bearer {key}, {password}"]
    for number, header in enumerate(headers):
        admin = at_extras(None, Authorization=header)
        assert admin.get("/test").status_code == 200
        name = f"laura{number}"
        new = {"username": name, "password": "secret of laura", "role": "guest", "group": "x"}
        answer = admin.post("/auth/users", {**new, "soft_limit": "1", "hard_limit": "10"})
        assert message(answer) == (200, "Successfully added user")
        laura = at_extras(None, **basic(name, "secret of laura"))
        assert laura.get("/user").status_code == 200
        answer = admin.delete("/auth/users", json={"username": name})
        assert message(answer) == (200, "Successfully removed user")
        assert laura.get("/user").status_code == 401


@pytest.mark.parametrize("missing", ["username", "password", "role"])
def test_a_user_without_one_of_the_three_is_refused(at_extras: Callers, missing: str) -> None:
    new: dict[str, Any] = {"username": "ivan", "password": "secret of ivan", "role": "scientist"}
    del new[missing]
    for body in (new, {**new, missing: 5}, {**new, missing: None}, {**new, missing: ""}):
        status, text = message(at_extras("root").post("/auth/users", body))
        assert status == 400
        assert missing in text


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_users_that_are_no_object_are_refused(at_extras: Callers, body: Any) -> None:
    for method in ("POST", "PATCH", "DELETE"):
        answer = at_extras("root")(
            method, "/auth/users", data=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert message(answer)[0] == 400


def test_users_are_managed_by_administrators_only(at_extras: Callers) -> None:
    new = {"username": "judy", "password": "x", "role": "scientist"}
    for caller in (at_extras("alice"), at_extras(None)):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = caller(method, "/auth/users", json=new)
            assert message(answer) == (403, "Not authorized to access this resource.")


@pytest.fixture
def kept(at_extras: Callers) -> Iterator[dict[str, str]]:
    """The headers of a user whom the server keeps."""
    new = {"username": "kim", "password": "secret of kim", "role": "scientist"}
    assert at_extras("root").post("/auth/users", new).status_code == 200
    yield basic("kim", "secret of kim")
    at_extras("root").delete("/auth/users", json={"username": "kim"})


def test_an_administrator_changes_roles_and_password(at_extras: Callers, kept: dict[str, str]) -> None:
    root, kim = at_extras("root"), at_extras(None, **kept)
    assert kim.get("/collections").json() == {"message": ["echo"]}
    changes = {"username": "kim", "roles": ["guest", "other"]}
    assert message(root("PATCH", "/auth/users", json=changes)) == (200, "Successfully changed user")
    assert kim.get("/collections").json() == {"message": []}
    (listed,) = [user for user in root.get("/auth/users").json()["message"] if user["username"] == "kim"]
    assert listed["roles"] == ["guest", "other"]
    changes = {"username": "kim", "password": "new secret", "roles": ["scientist"]}
    assert root("PATCH", "/auth/users", json=changes).status_code == 200
    assert kim.get("/user").status_code == 401
    renewed = at_extras(None, **basic("kim", "new secret"))
    assert renewed.get("/collections").json() == {"message": ["echo"]}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 400),
        ({"roles": "admin"}, 400),
        ({"roles": [1]}, 400),
        ({"roles": [""]}, 400),
        ({"roles": ["a"], "password": ""}, 400),
        ({"roles": ["a"], "password": "x" * 1025}, 400),
        ({"roles": ["a\nb"], "password": "new secret"}, 400),
        ({"roles": ["a"], "username": "nobody"}, 404),
        ({"password": "new secret", "username": "nobody"}, 404),
        ({"roles": ["a"], "username": ""}, 400),
    ],
)
def test_a_change_that_is_refused_changes_nothing(
    at_extras: Callers, kept: dict[str, str], changes: dict[str, Any], status: int
) -> None:
    answer = at_extras("root")("PATCH", "/auth/users", json={"username": "kim", **changes})
    assert message(answer)[0] == status
    assert at_extras(None, **kept).get("/collections").json() == {"message": ["echo"]}


def test_a_user_changes_the_password(at_extras: Callers, kept: dict[str, str]) -> None:
    kim = at_extras(None, **kept)
    change = {"current_password": "secret of kim", "new_password": "kim's: new one"}
    key = kim.post("/auth/keys", {}).json()["key"]
    with_key = at_extras(None, Authorization=f"Bearer {key}")
    wrong = (403, "The current password is wrong")
    for caller in (kim, with_key):
        answer = caller.post("/auth/password", {**change, "current_password": "wrong"})
        assert message(answer) == wrong
    assert message(kim.post("/auth/password", change)) == (200, "Successfully changed password")
    assert kim.get("/user").status_code == 401
    assert at_extras(None, **basic("kim", "kim's: new one")).get("/user").status_code == 200
    assert message(with_key.post("/auth/password", change)) == wrong


@pytest.mark.parametrize(
    "change",
    [{}, None, {"current_password": "secret of kim"}, {"new_password": "x"},
     {"current_password": "secret of kim", "new_password": ""},
     {"current_password": "secret of kim", "new_password": "x" * 1025},
     {"current_password": "secret of kim", "new_password": "\ud800"}],
)  # fmt: skip
def test_a_new_password_that_cannot_be_one_is_refused(
    at_extras: Callers, kept: dict[str, str], change: Any
) -> None:
    answer = at_extras(None, **kept)("POST", "/auth/password", data=json.dumps(change), headers=JSON)
    assert message(answer)[0] == 400
    assert at_extras(None, **kept).get("/user").status_code == 200


def test_guesses_of_a_password_are_counted_and_the_right_one_counts(at_extras: Callers) -> None:
    """Who got hold of a key must not find out the password with it, nor keep the user from changing it."""
    root = at_extras("root")
    root.post("/auth/users", {"username": "guessed", "password": "right", "role": "x"})
    key = at_extras(None, **basic("guessed", "right")).post("/auth/keys", {}).json()["key"]
    thief = at_extras(None, Authorization=f"Bearer {key}")
    change = {"new_password": "the thief's"}
    answers = [thief.post("/auth/password", {**change, "current_password": f"{n}"}) for n in range(16)]
    assert [answer.status_code for answer in answers[:10]] == [403] * 10
    # Two numbers stand for the last minute: what fell into this one fades away in the next.
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert 0 < int(refused[-1].headers["Retry-After"]) <= 120
    change = {"current_password": "right", "new_password": "my own"}
    assert message(thief.post("/auth/password", change)) == (200, "Successfully changed password")
    assert root("DELETE", "/auth/users", json={"username": "guessed"}).status_code == 200


def test_passwords_of_other_realms_are_not_kept_here(at_extras: Callers) -> None:
    change = {"current_password": "alice's password", "new_password": "x"}
    expected = (403, "This server keeps no passwords of users in realm test")
    assert message(at_extras("alice").post("/auth/password", change)) == expected


def test_the_keys_of_the_caller_are_listed_and_revoked(at_extras: Callers) -> None:
    alice = at_extras("bob")
    before = alice.get("/auth/keys").json()["message"]
    made = [alice.post("/auth/keys", body).json() for body in ({}, {"expiry": 30})]
    keys = [one["key"] for one in made]
    with_key = at_extras(None, Authorization=f"Bearer {keys[0]}")
    assert with_key.get("/user").status_code == 200
    answer = alice.get("/auth/keys")
    assert not any(key in answer.text for key in keys)
    listed = answer.json()["message"][len(before) :]
    assert [entry["prefix"] for entry in listed] == [key[:8] for key in keys]
    assert [entry["expires"] for entry in listed] == [one["expires"] for one in made]
    assert all(re.fullmatch(STAMP, entry["created"]) for entry in listed)
    assert re.fullmatch(STAMP, listed[0]["last_used"])
    assert listed[1]["last_used"] is None
    gone = {"prefix": keys[0][:8]}
    unknown = (404, "No API key of yours has that prefix")
    assert message(at_extras("root").delete("/auth/keys", json=gone)) == unknown
    assert at_extras("root").get("/auth/keys").text.find(gone["prefix"]) < 0
    assert message(alice.delete("/auth/keys", json=gone)) == (200, "Successfully revoked 1 API keys")
    assert message(alice.delete("/auth/keys", json=gone)) == unknown
    assert message(alice.delete("/auth/keys", json={"prefix": keys[1]})) == unknown
    assert message(alice.delete("/auth/keys", json={}))[0] == 400
    assert with_key.get("/user").status_code == 401
    assert at_extras(None, Authorization=f"Bearer {keys[1]}").get("/user").status_code == 200


@pytest.mark.parametrize("days", [0, -1, 366, 1.5, "30", True, 10**30])
def test_a_key_cannot_end_when_it_may_not(at_extras: Callers, days: Any) -> None:
    status, text = message(at_extras("alice").post("/auth/keys", {"expiry": days}))
    assert status == 400
    assert "days" in text


@pytest.mark.parametrize("body", [None, [], "x", 5, {"expiry": None, "other": 1}])
def test_what_else_the_body_for_a_key_says_is_ignored(at_extras: Callers, body: Any) -> None:
    answer = at_extras("alice").post("/auth/keys", data=json.dumps(body), headers=JSON)
    assert answer.status_code == 200


def test_without_credentials_the_anonymous_user_has_its_collections(at_extras: Callers) -> None:
    guest = at_extras(None)
    assert guest.get("/collections").json() == {"message": ["open"]}
    assert guest.get(guest.link("open", "for all")).content == b"for all"
    assert message(guest.post("/requests/echo", RETRIEVE))[0] == 403


@pytest.mark.parametrize("header", [f"Basic {b64('alice:wrong')}", "Bearer wrong", "nonsense"])
def test_wrong_credentials_do_not_become_anonymous(at_extras: Callers, header: str) -> None:
    answer = at_extras(None, Authorization=header).get("/collections")
    assert answer.status_code == 401
    assert 'Basic realm="test"' in answer.headers["WWW-Authenticate"]
    assert 'Bearer realm="' in answer.headers["WWW-Authenticate"]


def test_a_result_whose_meta_file_was_lost_is_still_served(server: StandaloneServer, alice: Caller) -> None:
    request_id = server.submit(alice.session, "echo", "hello")
    place = server.poll(alice.session, request_id).json()["location"].removeprefix("../")
    name = place.removeprefix("downloads/")
    (server.data / "staging" / "objects" / f"{name}.meta").unlink()
    answer = alice("GET", f"/{place}")
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["ETag"]
    assert alice("HEAD", f"/{place}").status_code == 200


@pytest.mark.parametrize("url", ["http://127.0.0.1/\ud800", "http://127.0.0.1/" + "x" * 5000, 7])
def test_an_input_address_that_cannot_be_one_is_refused(alice: Caller, url: object) -> None:
    body = {"verb": "archive", "request": {"class": "od"}, "url": url}
    answer = alice("POST", "/requests/echo", json=body)
    assert answer.status_code == 400, answer.text
    assert "'url'" in answer.json()["message"]
