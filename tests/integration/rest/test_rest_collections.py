"""What a collection says of itself in REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import pytest
from answers import Callers, message
from caller import Caller


def test_a_collection_says_how_to_ask_for_what_is_in_it(alice: Caller) -> None:
    answer = alice.get("/collections/strict")
    assert answer.status_code == 200
    found = answer.json()
    (source,) = found.pop("datasources")
    assert found == {
        "name": "strict",
        "title": "Strict",
        "licence": "CC-BY-4.0",
        "examples": [{"class": "od"}],
        **dict.fromkeys(("description", "attribution", "contact", "documentation"), ""),
        "limits": {"active_requests": 5, "request_bytes": 64 << 10},
    }
    assert source == {
        "name": "strict",
        "type": "echo",
        "verbs": ["retrieve", "archive"],
        "serves": "data",
        "match": {"class": ["od", "rd"], "secretkey": []},
        "defaults": {},
        "patch": {},
        "schedule": False,
        "contents": None,
    }


def test_its_examples_are_accepted(alice: Caller) -> None:
    for request in alice.get("/collections/strict").json()["examples"]:
        assert alice.post("/requests/strict", {"verb": "retrieve", "request": request}).status_code == 202


def test_each_user_sees_the_data_sources_that_serve_them(call: Callers) -> None:
    names = {
        name: [one["name"] for one in call(name).get("/collections/strict").json()["datasources"]]
        for name in ("alice", "root")
    }
    assert names == {"alice": ["strict"], "root": ["strict", "echo"]}


@pytest.mark.parametrize("name", ["nobody", "admins", "none"])
def test_a_collection_that_the_caller_may_not_use_is_as_if_it_did_not_exist(alice: Caller, name: str) -> None:
    answer = alice.get(f"/collections/{name}")
    assert message(answer) == (404, f"You have no collection {name!r}; see GET /api/v1/collections")


def test_unknown_parameters_are_refused(alice: Caller) -> None:
    answer = alice.get("/collections/strict?pretty=1&x=2")
    assert message(answer) == (400, "Unknown query parameters: 'pretty', 'x'; this route has none")


def test_it_is_for_those_who_have_logged_in(nobody: Caller) -> None:
    assert nobody.get("/collections/strict").status_code == 401
