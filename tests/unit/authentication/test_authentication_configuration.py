from pathlib import Path
from typing import Any

import pytest

from polytope_server.authentication.configuration import authenticators, authorizers, cache_seconds
from polytope_server.settings import ConfigurationError, Settings


def settings(authentication: dict[str, Any], **others: Any) -> Settings:
    return Settings.model_validate({"authentication": authentication, **others})


def realm(**keys: Any) -> dict[str, Any]:
    return {"r": {"authenticators": {"a": keys}}}


def test_what_is_configured_is_made_in_order(tmp_path: Path) -> None:
    given = settings(
        {
            "cache": "2m",
            "r": {"authenticators": {"a": {"type": "plain", "users": []}, "b": {"type": "anonymous"}}},
            "s": {"authenticators": {"c": {"type": "sql"}}, "authorizers": {"d": {"type": "plain"}}},
            "auth-o-tron": {"secret": "s"},
            "t": {"authorizers": {"e": {"type": "sql"}, "f": {"type": "plain"}}},
        },
        federation={"peer": {"secret": "s"}},
        **{"api-keys": {"authenticator": {"type": "sql"}}},
    )
    found = [(type(one).__name__, one.realm) for one in authenticators(given, tmp_path)]
    assert found == [
        ("PlainAuthenticator", "r"),
        ("AnonymousAuthenticator", "r"),
        ("SQLAuthenticator", "s"),
        ("APIKeyAuthenticator", "polytope"),
        ("Federation", "polytope"),
        *[("AuthOTronAuthenticator", "polytope")] * 4,
    ]
    roles = authorizers(given, tmp_path)
    assert {name: [type(one).__name__ for one in found] for name, found in roles.items()} == {
        "s": ["PlainAuthorizer"],
        "t": ["SQLAuthorizer", "PlainAuthorizer"],
    }
    assert cache_seconds(given) == 120.0


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    given = settings({})
    assert authenticators(given, tmp_path) == []
    assert authorizers(given, tmp_path) == {}
    assert cache_seconds(given) == 60.0


@pytest.mark.parametrize(
    ("authentication", "expected"),
    [
        (realm(users=[]), r"authentication\.r\.authenticators\.a\.type: is missing; available: .*plain"),
        (realm(type="plain", user=["sesame"]), r"authenticators\.a\.user: "),
        ({"auth-o-tron": {"secret": {"a": "sesame"}}}, r"authentication\.auth-o-tron\.secret: .*a text"),
        ({"auth-o-tron": {}}, r"authentication\.auth-o-tron: .*expected one of secret .*; found none"),
        (realm(type="plain", users=[{"uid": "x", "password": {"a": "sesame"}}]), r"users\[0\]\.password: "),
    ],
)
def test_a_mistake_is_named_without_secrets(
    authentication: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        authenticators(settings(authentication), tmp_path)
    assert "password': 'sesame" not in str(caught.value)
