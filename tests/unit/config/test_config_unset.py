"""Secrets that are variables which are not set."""

from __future__ import annotations

import pytest

from polytope_server.settings import ConfigurationError

PLAIN = (
    "authentication: {site: {authenticators: "
    "{a: {type: plain, clear_text: true, users: [{uid: carol, password: %s}]}}}}"
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (PLAIN % "$WORD", "authentication.site.authenticators.a.users[0].password"),
        (PLAIN % "'${WORD}'", "authentication.site.authenticators.a.users[0].password"),
        ("staging: {polytope: {token: $A_TOKEN_OF_THE_OBJECT_STORE}}", "staging.polytope.token"),
        ("secrets: {keys: [$A_KEY_OF_THE_DEPLOYMENT_WITH_A_LONG_NAME]}", "secrets.keys[0]"),
        ("identity: {sql: {realm: a, extra-users: [{uid: b, password: $WORD}]}}", "password"),
        ("request_store: {sql: {url: 'postgresql://name:$WORD@db/polytope'}}", "request_store.sql.url"),
        ("federation: {peer: {secret: $WORD, allowed_realms: [any]}}", "federation.peer.secret"),
    ],
)
def test_they_are_told_and_stop_what_would_let_in_by_them(config, tmp_path, text, path):
    found = config(text)
    ((section, (line,)),) = found.unset.items()
    assert path.startswith(section) or path == "password"
    assert line.startswith(f"{tmp_path}/1.yaml:1: ")
    assert f"{path}: " in line
    with pytest.raises(ConfigurationError, match=r"the variable \w+ is not set"):
        found.check_secrets()
    found.check_secrets("queue")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN % "$SET",
        PLAIN % "$ODD",
        PLAIN % "'$argon2id$v=19$m=65536,t=3,p=4$abc$def'",
        PLAIN % "'a$WORD'",
        "telemetry: {token: $WORD}",
        # Of its worker, which may be the only process that has the variable.
        "datasources: {a: {type: http, url: 'http://a', headers: {X-Token: $WORD}}}\n"
        "collections: {a: {datasources: [a]}}",
        "frontend: {bind_to: $WORD}",
    ],
)
def test_others_are_not(config, text):
    found = config(text, SET="a word", ODD="$ecret")
    assert found.unset == {}
    found.check_secrets()


CLEAR = PLAIN.replace(" clear_text: true,", "")


def test_a_password_in_clear_text_stops_what_would_let_in_by_it_and_nothing_else(config):
    found = config(CLEAR % "$ALICE", ALICE="sesame")
    with pytest.raises(ConfigurationError) as caught:
        found.check_secrets()
    assert str(caught.value).endswith(
        "authentication.site.authenticators.a: the password of 'carol' is clear text; give a hash "
        "(`polytope-server users hash`), or set `clear_text: true` beside `users`"
    )
    assert "sesame" not in str(caught.value)
    found.check_secrets("staging")


def test_a_variable_that_is_not_set_is_no_password_in_clear_text(config):
    with pytest.raises(ConfigurationError) as caught:
        config(CLEAR % "$ALICE").check_secrets()
    assert "is not set" in str(caught.value)
    assert "clear text" not in str(caught.value)
