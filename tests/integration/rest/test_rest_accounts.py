"""API keys, users and passwords in REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from answers import JSON, RETRIEVE, STAMP, Callers, b64, message, whoami

from testbed.server import basic


def test_keys_and_users_are_501_where_they_are_not_configured(call: Callers) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = call("alice")(method, "/auth/keys", json={})
        assert message(answer) == (501, "API key generation is not enabled.")
    off = (501, "This Polytope server is not configured with identity management.")
    for method in ("GET", "POST", "PATCH", "DELETE"):
        new = {"username": "x", "password": "y", "role": "z"}
        assert message(call("root")(method, "/auth/users", json=new)) == off
    assert message(call("alice").post("/auth/password", {})) == off


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
