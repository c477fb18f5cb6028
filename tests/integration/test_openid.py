"""Offline tokens, against the OpenID provider of :mod:`openid_provider`, which is built with `authlib`."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.jwk import ECKey, RSAKey
from openid_provider import Account, OAuthClient, OpenIDProvider, new_key

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.openid import OfflineAccessAuthenticator, OfflineAccessSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User
from testbed.server import CONFIG, StandaloneServer

PASSWORD = "alice's password"
SECRET = "the-secret/+=& of the client"
#: A realm whose name needs quoting.
REALM, QUOTED = "our realm", "our%20realm"
API_KEYS = {"type": "sql", "allowed_realms": ["site"]}
TOKEN, INTROSPECT = "/token", "/introspect"


@pytest.fixture(scope="module")
def key() -> RSAKey | ECKey:
    return new_key()


@pytest.fixture
def provider(key: RSAKey | ECKey) -> Iterator[OpenIDProvider]:
    clients = [OAuthClient("public"), OAuthClient("other"), OAuthClient("private", SECRET)]
    roles = {"public": ["reader"], "other": ["admin"]}
    accounts = [Account("alice", PASSWORD, ["staff"], roles)]
    with OpenIDProvider(QUOTED, clients, accounts, key) as provider:
        yield provider


@pytest.fixture
def make(provider: OpenIDProvider, tmp_path: Path, opened: Callable[..., Any]) -> Callable[..., Any]:
    async def make(**changes: Any) -> OfflineAccessAuthenticator:
        settings = OfflineAccessSettings.model_validate(keys(provider, **changes))
        authenticator = OfflineAccessAuthenticator("site", settings, tmp_path)
        return await opened(authenticator)

    return make


def keys(provider: OpenIDProvider, **changes: Any) -> dict[str, Any]:
    usual = {
        "cert_url": provider.cert_url,
        "public_client_id": "public",
        "private_client_id": "private",
        "private_client_secret": SECRET,
        "iam_url": f"{provider.url}/",
        "iam_realm": REALM,
        "jwt_aud": "polytope",
        "jwt_iss": provider.issuer,
    }
    return {**usual, **changes}


@pytest.fixture
async def authenticator(make: Callable[..., Any]) -> Authenticator:
    authenticator: Authenticator = await make()
    return authenticator


def granted(provider: OpenIDProvider, client_id: str = "public", scope: str = "openid offline_access") -> Any:
    return provider.grant(client_id, "alice", PASSWORD, scope)


def offline(provider: OpenIDProvider) -> str:
    """An offline token; what it took is not counted."""
    token: str = granted(provider)["refresh_token"]
    provider.seen.clear()
    return token


class TestOfflineAccess(AuthenticatorContract):
    @pytest.fixture
    def right(self, provider: OpenIDProvider) -> str:
        return offline(provider)

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "site")

    @pytest.fixture
    def wrong(self, provider: OpenIDProvider, right: str) -> list[str]:
        others = granted(provider, "other"), granted(provider, scope="openid")
        return [right[:-4], right + "A", *(other["refresh_token"] for other in others), right + "." + right]


async def test_the_access_token_says_who_it_is(
    provider: OpenIDProvider, authenticator: Authenticator
) -> None:
    token = offline(provider)
    user = await authenticator.authenticate(token)
    assert user == User("alice", "site", ("reader", "staff"))
    assert user.until < float("inf")
    base = f"/realms/{QUOTED}/protocol/openid-connect"
    assert provider.seen == [f"{base}/token/introspect", f"{base}/token", f"{base}/certs"]
    assert await authenticator.authenticate(token) == user
    assert provider.reads == 1


async def test_keys_may_rotate(provider: OpenIDProvider, authenticator: Authenticator) -> None:
    token = offline(provider)
    assert await authenticator.authenticate(token) is not None
    provider.rotate()
    assert await authenticator.authenticate(token) is not None


async def test_what_is_no_offline_token_causes_no_call(
    provider: OpenIDProvider, authenticator: Authenticator
) -> None:
    access, refresh = granted(provider)["access_token"], granted(provider, scope="openid")["refresh_token"]
    foreign = [
        jwt.encode(claims, "s" * 64, "HS512")
        for claims in (
            {"typ": "Offline", "iss": "https://other.example"},
            {"typ": "Offline"},
            {"iss": provider.issuer},
            {},
        )
    ]
    provider.seen.clear()
    for token in (
        access,
        refresh,
        *foreign,
        "api-key",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "",
        ".." * 50_000,
        "é.é.é",
    ):
        assert await authenticator.authenticate(token) is None
    assert provider.seen == []


async def test_a_token_that_was_revoked_is_wrong(
    provider: OpenIDProvider, authenticator: Authenticator, make: Callable[..., Any]
) -> None:
    token = offline(provider)
    assert await authenticator.authenticate(token) is not None
    provider.refresh_tokens[token].revoked = True
    provider.seen.clear()
    assert await authenticator.authenticate(token) is None
    assert [path.rpartition("/")[2] for path in provider.seen] == ["introspect"]
    unchecked = await make(disable_check=True)
    assert await unchecked.authenticate(token) is None
    assert [path.rpartition("/")[2] for path in provider.seen] == ["introspect", "token"]


async def test_without_the_check_nothing_is_asked_about_the_token(
    provider: OpenIDProvider, make: Callable[..., Any]
) -> None:
    authenticator = await make(disable_check=True, private_client_secret="wrong")
    assert await authenticator.authenticate(offline(provider)) is not None
    assert not any(path.endswith(INTROSPECT) for path in provider.seen)


@pytest.mark.parametrize(
    "said",
    [
        {"active": False},
        {"active": False, "token_type": "Offline"},
        {"active": True},
        {"active": True, "token_type": "Refresh"},
        {"active": True, "token_type": ["Offline"]},
    ],
)
async def test_a_token_that_does_not_count_is_not_used(
    provider: OpenIDProvider, authenticator: Authenticator, said: dict[str, Any]
) -> None:
    token = offline(provider)
    provider.answers[INTROSPECT] = (200, json.dumps(said).encode(), {})
    assert await authenticator.authenticate(token) is None
    assert len(provider.seen) == 1


async def test_either_name_of_the_type_counts(provider: OpenIDProvider, authenticator: Authenticator) -> None:
    token = offline(provider)
    provider.answers[INTROSPECT] = (200, b'{"active": true, "typ": "Offline", "token_type": "Bearer"}', {})
    assert await authenticator.authenticate(token) is not None


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("body", [b'{"error": "invalid_grant"}', b"", b"[]"])
async def test_an_invalid_grant_is_wrong(
    provider: OpenIDProvider, authenticator: Authenticator, status: int, body: bytes
) -> None:
    token = offline(provider)
    provider.answers[TOKEN] = (status, body, {})
    assert await authenticator.authenticate(token) is None


_STRANGE = [
    (500, b"", {}),
    (503, b"{}", {}),
    (404, b"{}", {}),
    (429, b"{}", {}),
    (302, b"", {"Location": "/"}),
    (200, b"", {}),
    (200, b"<html>", {}),
    (200, b"[]", {}),
    (200, b'{"active": "yes", "access_token": 7}', {}),
    (200, b"[" * 60_000, {}),
    (200, b'{"active": true, "access_token": "' + b"x" * 200_000 + b'"}', {}),
]


@pytest.mark.parametrize("where", [INTROSPECT, TOKEN])
@pytest.mark.parametrize("answer", _STRANGE, ids=lambda answer: f"{answer[0]} {answer[1][:12]!r}")
async def test_anything_else_is_neither_right_nor_wrong(
    provider: OpenIDProvider, authenticator: Authenticator, where: str, answer: Any
) -> None:
    token = offline(provider)
    provider.answers[where] = answer
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(token)
    assert provider.url not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"private_client_secret": "wrong"}, "private_client_secret"),
        ({"private_client_id": "unknown"}, "private_client_id"),
        ({"public_client_id": "unknown"}, "public_client_id"),
        ({"public_client_id": "private"}, "public_client_id"),
    ],
)
async def test_a_client_that_is_refused_is_the_operators_mistake(
    provider: OpenIDProvider,
    make: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    named: str,
) -> None:
    authenticator = await make(**changes)
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(offline(provider))
    assert named in caplog.text


@pytest.mark.parametrize("changes", [{"jwt_aud": "other"}, {"algorithms": ["ES256"]}])
async def test_an_access_token_that_does_not_count_is_told_in_the_log(
    provider: OpenIDProvider,
    make: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
) -> None:
    authenticator = await make(**changes)
    assert await authenticator.authenticate(offline(provider)) is None
    assert "check jwt_iss, jwt_aud" in caplog.text


async def test_an_access_token_of_another_issuer_does_not_count(
    provider: OpenIDProvider, authenticator: Authenticator
) -> None:
    token = offline(provider)
    claims = jwt.decode(granted(provider)["access_token"], options={"verify_signature": False})
    for issuer, counts in ((provider.issuer, True), ("https://other.example", False)):
        key = provider.keys[0]
        access = jwt.encode({**claims, "iss": issuer}, key.private_key, "RS256", {"kid": key.kid})
        provider.answers[TOKEN] = (200, json.dumps({"access_token": access}).encode(), {})
        assert (await authenticator.authenticate(token) is not None) is counts


async def test_keys_that_cannot_be_read(provider: OpenIDProvider, authenticator: Authenticator) -> None:
    token = offline(provider)
    provider.answers["/certs"] = (503, b"", {})
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(token)


async def test_a_provider_that_hangs_or_is_down(provider: OpenIDProvider, make: Callable[..., Any]) -> None:
    token = offline(provider)
    provider.hang = threading.Event()
    with pytest.raises(AuthenticationUnavailableError):
        await (await make(timeout=0.1)).authenticate(token)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = await make(iam_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(AuthenticationUnavailableError):
            await down.authenticate(token)


async def test_no_secret_is_in_a_log(
    provider: OpenIDProvider, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = offline(provider)
    authenticator = await make()
    assert await authenticator.authenticate(token) is not None
    for where, answer in ((TOKEN, (200, b"{}", {})), (INTROSPECT, (500, token.encode(), {}))):
        provider.answers[where] = answer
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(token)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("polytope_server")]
    assert len(ours) == 2
    shown = "".join(ours) + repr(authenticator.settings) + repr(authenticator.__dict__)
    assert token not in shown
    assert SECRET not in shown


def test_what_is_not_safe_draws_a_warning(provider: OpenIDProvider) -> None:
    found = OfflineAccessSettings.model_validate(keys(provider)).warnings()
    assert [("cert_url" in one, "iam_url" in one) for one in found] == [(True, False), (False, True)]
    safe = {"cert_url": "https://p/certs", "iam_url": "https://p"}
    assert OfflineAccessSettings.model_validate(keys(provider, **safe)).warnings() == []


def test_a_server_takes_offline_tokens_and_tokens(
    provider: OpenIDProvider, tmp_path: Path, caller_of: Any
) -> None:
    """Several authenticators of one scheme, each with its own kind of Bearer."""
    tokens = {"type": "jwt", "cert_url": provider.cert_url, "client_id": "public", "issuer": provider.issuer}
    config = {
        "authentication": {
            **CONFIG["authentication"],
            "site": {
                "authenticators": {
                    "offline": {"type": "openid_offline_access", **keys(provider)},
                    "tokens": {**tokens, "audience": "polytope"},
                }
            },
        },
        "api-keys": {"generator": API_KEYS, "authenticator": {"type": "sql"}},
        "collections": {"readers": {"roles": {"site": ["reader"]}, "datasources": ["echo"]}},
    }
    answers = granted(provider)
    with StandaloneServer(tmp_path / "data", config) as server:
        alice = caller_of(server, None, Authorization=f"Bearer {answers['refresh_token']}")
        assert alice.get(alice.link("readers", "hello")).text == "hello"
        key = alice.post("/auth/keys", {}).json()["key"]
        for credentials in (answers["access_token"], key):
            caller = caller_of(server, None, Authorization=f"Bearer {credentials}")
            assert caller.get("/requests").status_code == 200
        assert caller_of(server, None, Authorization="Bearer a.b.c").get("/requests").status_code == 401
