"""Credentials, collections and the user in REST API v1 (docs/rest-api.md)."""

from __future__ import annotations

import pytest
from answers import ALICE, BOB, GRACE, UNKNOWN, Callers, b64, whoami
from caller import Caller

from testbed.server import StandaloneServer, basic


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
