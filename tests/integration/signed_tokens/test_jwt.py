"""Signed tokens, against the OpenID provider of :mod:`openid_provider`, which is built with `authlib`."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.jwk import ECKey
from openid_provider import OpenIDProvider, new_key
from tokens import ROLES, claims, encoded, issued, sign, signed

from polytope_server.authentication import Authenticator
from polytope_server.authentication.jwt import JWTSettings
from polytope_server.config import load
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User
from testbed.server import CONFIG, StandaloneServer


class TestJWT(AuthenticatorContract):
    @pytest.fixture
    def right(self, provider: OpenIDProvider) -> str:
        return issued(provider)

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "site")

    @pytest.fixture
    def wrong(self, provider: OpenIDProvider, right: str) -> list[str]:
        header, payload, signature = right.split(".")
        other = encoded({**claims(provider), "sub": "root"})
        cut = signature[:-4]
        return [
            issued(provider, "elsewhere"),
            f"{header}.{other}.{signature}",
            f"{header}.{payload}.{cut}",
            f"{header}.{payload}.",
            f"{header}.{payload}",
            f"{right}.{right}",
        ]


class TestWhoCounts:
    async def test_a_token_of_the_provider_gives_its_roles(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        token = issued(provider)
        user = await authenticator.authenticate(token)
        assert user == User("alice", "site", ROLES)
        expires = jwt.decode(token, options={"verify_signature": False})["exp"]
        assert expires <= user.until <= expires + 30

    async def test_a_token_of_an_elliptic_curve(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        provider.rotate(new_key(ECKey))
        assert await authenticator.authenticate(issued(provider)) == User("alice", "site", ROLES)

    async def test_a_token_without_roles(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        assert await authenticator.authenticate(signed(provider)) == User("alice", "site", ())

    async def test_clocks_may_differ_a_little(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        now = int(time.time())
        early = signed(provider, iat=now + 5, nbf=now + 5)
        assert await authenticator.authenticate(early) is not None
        assert await authenticator.authenticate(issued(provider, "brief")) is not None

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": int(time.time()) - 31},
            {"exp": None},
            {"exp": "soon"},
            {"exp": True},
            {"exp": float("nan")},
            {"exp": [1]},
            {"nbf": int(time.time()) + 86400},
            {"nbf": "later"},
            {"nbf": float("inf")},
            {"iss": "https://other.example"},
            {"iss": None},
            {"iss": ["a", "b"]},
            {"aud": "elsewhere"},
            {"aud": "polytope2"},
            {"aud": None},
            {"aud": {"polytope": 1}},
            {"aud": ["elsewhere", 3]},
            {"sub": None},
            {"sub": ""},
            {"sub": "a\nb"},
            {"sub": "x" * 256},
        ],
    )
    async def test_claims_that_do_not_count(
        self, provider: OpenIDProvider, authenticator: Authenticator, changes: dict[str, Any]
    ) -> None:
        iss = changes.get("iss", provider.issuer)
        # PyJWT makes no token whose issuer is a list.
        header = encoded({"alg": "RS256", "kid": provider.keys[0].kid, "typ": "JWT"})
        signing = f"{header}.{encoded(claims(provider, **{**changes, 'iss': iss}))}"
        assert await authenticator.authenticate(sign(provider, signing)) is None

    @pytest.mark.parametrize(
        "payload",
        [
            {"sub": 7},
            {"sub": ["alice"]},
            {"realm_access": []},
            {"realm_access": {"roles": "admin"}},
            {"realm_access": {"roles": {"admin": 1}}},
            {"realm_access": {"roles": ["a", 1]}},
            {"realm_access": {"roles": [["a"]]}},
            {"realm_access": {"roles": ["a\n"]}},
            {"realm_access": {"roles": [str(number) for number in range(3000)]}},
            {"resource_access": ["polytope"]},
            {"resource_access": {"polytope": ["a"]}},
            {"resource_access": {"polytope": {"roles": None}}},
            {"resource_access": {"polytope": {"roles": "admin"}}},
            {"exp": "9999999999"},
        ],
    )
    async def test_claims_of_another_shape(
        self, provider: OpenIDProvider, authenticator: Authenticator, payload: dict[str, Any]
    ) -> None:
        header = encoded({"alg": "RS256", "kid": provider.keys[0].kid})
        usual = {"resource_access": {"other": {"roles": []}}, **claims(provider)}
        assert await authenticator.authenticate(sign(provider, f"{header}.{encoded(usual)}")) is not None
        signing = f"{header}.{encoded({**claims(provider), **payload})}"
        assert await authenticator.authenticate(sign(provider, signing)) is None

    @pytest.mark.parametrize(
        "payload",
        [
            b"[" * 40_000,
            b'{"a":' * 8_000,
            b'{"sub": "alice", "exp": ' + b"9" * 5000 + b"}",
            b'{"sub": "alice", "exp": 9999999999, "pad": "' + b"x" * 100_000 + b'"}',
            b"[]",
            b'"alice"',
            b"\xff\xfe",
            b"",
        ],
        ids=lambda payload: f"{payload[:6]!r}",
    )
    async def test_a_payload_that_cannot_be_read(
        self, provider: OpenIDProvider, make: Callable[..., Any], payload: bytes
    ) -> None:
        authenticator = await make(provider.cert_url)
        for header in (encoded({"alg": "RS256", "kid": provider.keys[0].kid}), encoded(payload)):
            token = sign(provider, f"{header}.{encoded(payload)}")
            assert await authenticator.authenticate(token) is None

    async def test_without_issuer_and_audience_both_are_free(
        self, provider: OpenIDProvider, make: Callable[..., Any]
    ) -> None:
        free = await make(provider.cert_url)
        token = signed(provider, iss="https://other.example", aud="elsewhere")
        assert await free.authenticate(token) == User("alice", "site", ())
        assert await free.authenticate(signed(provider, iss=None, aud=None)) == User("alice", "site", ())


class TestConfiguration:
    @pytest.mark.parametrize("algorithms", [["none"], ["HS256"], ["RS256", "HS512"], [], ["rs256"], "RS256"])
    def test_algorithms_that_are_refused(self, algorithms: Any, tmp_path: Path) -> None:
        keys = {"type": "jwt", "cert_url": "https://a/certs", "client_id": "c", "algorithms": algorithms}
        text = _problem(tmp_path, keys)
        assert "authentication.r.authenticators.a.algorithms" in text
        assert not algorithms or isinstance(algorithms, str) or "'RS256'" in text

    def test_the_default_algorithms(self) -> None:
        settings = JWTSettings.model_validate({"cert_url": "https://a/certs", "client_id": "c"})
        assert settings.algorithms == ["RS256", "ES256"]

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({"issuer": "i", "audience": "a"}, []),
            ({"audience": "a"}, ["without issuer"]),
            ({"issuer": "i"}, ["without audience"]),
            (
                {"cert_url": "http://p/certs"},
                ["log in as any user; use https://", "without issuer", "without audience"],
            ),
        ],
    )
    def test_what_is_not_safe_draws_a_warning(self, keys: dict[str, Any], expected: list[str]) -> None:
        usual = {"cert_url": "https://p/certs", "client_id": "c"}
        found = JWTSettings.model_validate({**usual, **keys}).warnings()
        assert len(found) == len(expected)
        assert all(part in warning for part, warning in zip(expected, found, strict=True))


def _problem(tmp_path: Path, keys: dict[str, Any]) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"authentication": {"r": {"authenticators": {"a": keys}}}}))
    with pytest.raises(Exception, match="algorithms") as caught:
        load([file])
    return str(caught.value)


def test_a_server_takes_tokens(provider: OpenIDProvider, tmp_path: Path, caller_of: Any) -> None:
    tokens = {
        "type": "jwt",
        "cert_url": provider.cert_url,
        "client_id": "polytope",
        "issuer": provider.issuer,
        "audience": "polytope",
    }
    config = {
        "authentication": {**CONFIG["authentication"], "site": {"authenticators": {"tokens": tokens}}},
        "collections": {
            "readers": {"roles": {"site": ["reader"]}, "datasources": ["echo"]},
            "admins": {"roles": {"site": ["admin"]}, "datasources": ["echo"]},
        },
    }
    with StandaloneServer(tmp_path / "data", config) as server:
        alice = caller_of(server, None, Authorization=f"Bearer {issued(provider)}")
        assert alice.get(alice.link("readers", "hello")).text == "hello"
        assert alice.post("/requests/admins", {"verb": "retrieve", "request": "x"}).status_code == 403
        for headers in ({"kid": "unknown"}, {"typ": "logout+jwt"}):
            thief = caller_of(server, None, Authorization=f"Bearer {signed(provider, headers=headers)}")
            answer = thief.get("/user")
            assert (answer.status_code, "Bearer" in answer.headers["WWW-Authenticate"]) == (401, True)
