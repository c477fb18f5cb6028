"""Addresses in answers of REST API v1: peers, proxies, a public address (docs/rest-api.md)."""

from __future__ import annotations

import re

import pytest
from answers import PEER, RETRIEVE, Callers, md5, message, whoami
from caller import Caller

from testbed.server import StandaloneServer


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
    assert ended.json()["location"] == ended.headers["Location"]
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


def test_a_public_address_makes_every_location_absolute(
    public: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(public)
    base = "https://polytope.example.org/p/api/v1"
    answer = caller.post("/requests/echo", RETRIEVE)
    request_id = answer.headers["Location"].removeprefix(f"{base}/requests/")
    ended = caller.end_of(request_id)
    assert ended.headers["Location"].startswith(f"{base}/downloads/{request_id}/")
    assert ended.json()["location"] == ended.headers["Location"]
    led = caller.get(f"/downloads/{request_id}")
    assert (led.status_code, led.headers["Location"]) == (303, ended.headers["Location"])
    archive = caller.post("/requests/echo", {"verb": "archive", "request": {}})
    upload = archive.headers["Location"]
    assert upload.startswith(f"{base}/uploads/")
    archived_id = archive.json()["id"]
    assert upload.endswith(archived_id)
    caller("POST", f"/uploads/{archived_id}", data=b"x", headers={"X-Checksum": md5(b"x")})
    assert caller.end_of(archived_id).json()["location"] == f"{base}/requests/{archived_id}"


def test_an_early_failure_is_told_on_the_submission_and_success_is_not(
    public: StandaloneServer, caller_of: type[Caller]
) -> None:
    caller = caller_of(public)
    failed = caller.post("/requests/raise", RETRIEVE)
    assert message(failed) == (400, "Request failed with error:\nthis data source always fails")
    good = caller.post("/requests/echo", RETRIEVE)
    assert (good.status_code, good.json()["status"]) == (202, "queued")


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
