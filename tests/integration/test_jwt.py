"""Signed tokens, against the OpenID provider of :mod:`openid_provider`, which is built with `authlib`."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey
from openid_provider import Account, OAuthClient, OpenIDProvider, new_key

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.jwt import JWTAuthenticator, JWTSettings
from polytope_server.caching.memory import MemoryCache
from polytope_server.config import load
from polytope_server.settings import Settings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.testing.waiting import until
from polytope_server.user import User
from testbed.server import CONFIG, StandaloneServer

PASSWORD = "alice's password"
ROLES = ("reader", "writer", "staff")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def running() -> Iterator[OpenIDProvider]:
    clients = [
        OAuthClient("polytope"),
        OAuthClient("elsewhere", audience="elsewhere"),
        OAuthClient("brief", seconds=-5),
    ]
    roles = {"polytope": ["reader", "writer"], "elsewhere": ["admin"]}
    with OpenIDProvider("our", clients, [Account("alice", PASSWORD, ["staff", "reader"], roles)]) as provider:
        yield provider


@pytest.fixture
def provider(running: OpenIDProvider) -> Iterator[OpenIDProvider]:
    keys = running.keys
    running.seen.clear()
    yield running
    running.keys = keys
    running.answers.clear()
    if running.hang is not None:
        running.hang.set()
        running.hang = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock, opened: Callable[..., Any]) -> Callable[..., Any]:
    async def make(cert_url: str, **keys: Any) -> JWTAuthenticator:
        settings = JWTSettings.model_validate({"cert_url": cert_url, "client_id": "polytope", **keys})
        authenticator = JWTAuthenticator("site", settings, tmp_path)
        authenticator._keys._clock = clock
        return await opened(authenticator)

    return make


@pytest.fixture
async def authenticator(provider: OpenIDProvider, make: Callable[..., Any]) -> Authenticator:
    return await make(provider.cert_url, issuer=provider.issuer, audience="polytope")


def issued(provider: OpenIDProvider, client_id: str = "polytope") -> str:
    token: str = provider.grant(client_id, "alice", PASSWORD)["access_token"]
    return token


def claims(provider: OpenIDProvider, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": provider.issuer, "sub": "alice", "aud": "polytope", "iat": now, "exp": now + 300}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def signed(
    provider: OpenIDProvider,
    key: RSAKey | ECKey | None = None,
    headers: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A token that the provider could have made, besides the changes."""
    key = key or provider.keys[0]
    kid = {"kid": key.kid} if key.kid else {}
    return jwt.encode(claims(provider, **changes), key.private_key, key.alg, {**kid, **(headers or {})})


def encoded(document: Any) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


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
        assert await authenticator.authenticate(_sign(provider, signing)) is None

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
        assert await authenticator.authenticate(_sign(provider, f"{header}.{encoded(usual)}")) is not None
        signing = f"{header}.{encoded({**claims(provider), **payload})}"
        assert await authenticator.authenticate(_sign(provider, signing)) is None

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
            token = _sign(provider, f"{header}.{encoded(payload)}")
            assert await authenticator.authenticate(token) is None

    async def test_without_issuer_and_audience_both_are_free(
        self, provider: OpenIDProvider, make: Callable[..., Any]
    ) -> None:
        free = await make(provider.cert_url)
        token = signed(provider, iss="https://other.example", aud="elsewhere")
        assert await free.authenticate(token) == User("alice", "site", ())
        assert await free.authenticate(signed(provider, iss=None, aud=None)) == User("alice", "site", ())


def _sign(provider: OpenIDProvider, signing: str) -> str:
    signature = jwt.get_algorithm_by_name("RS256").sign(signing.encode(), provider.keys[0].private_key)
    return f"{signing}.{encoded(signature)}"


class TestForgery:
    """Ways around a signature. Each first shows that the token would count with the right key."""

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["RS256"], {"a": 1}, 7])
    async def test_no_algorithm(
        self, provider: OpenIDProvider, authenticator: Authenticator, algorithm: Any
    ) -> None:
        header = encoded({"alg": algorithm, "kid": provider.keys[0].kid})
        signing = f"{header}.{encoded(claims(provider))}"
        for token in (f"{signing}.", _sign(provider, signing)):
            assert await authenticator.authenticate(token) is None
        assert provider.reads == 0

    @pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
    async def test_a_public_key_is_no_secret(
        self, provider: OpenIDProvider, authenticator: Authenticator, name: str
    ) -> None:
        key = provider.keys[0]
        public = [
            key.as_pem(private=False),
            key.as_der(private=False),
            key.as_dict(private=False)["n"].encode(),
        ]
        header = encoded({"alg": name, "kid": key.kid})
        signing = f"{header}.{encoded(claims(provider))}"
        for secret in [*public, public[0].strip(), b""]:
            digest = hmac.new(secret, signing.encode(), f"sha{name[2:]}").digest()
            assert await authenticator.authenticate(f"{signing}.{encoded(digest)}") is None
        # RS256 in the header, as the algorithm is not the token's to choose.
        header = encoded({"alg": "RS256", "kid": key.kid})
        signing = f"{header}.{encoded(claims(provider))}"
        digest = hmac.new(public[0], signing.encode(), hashlib.sha256).digest()
        assert await authenticator.authenticate(f"{signing}.{encoded(digest)}") is None
        assert await authenticator.authenticate(signed(provider)) is not None

    async def test_a_key_or_an_address_in_the_token_is_not_used(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        thief = new_key(kid="thief")
        with OpenIDProvider("thieves", [], []) as other:
            other.keys = [thief]
            for kid in ("thief", provider.keys[0].kid):
                for headers in (
                    {"jwk": thief.as_dict(private=False)},
                    {"jku": other.cert_url},
                    {"x5u": other.cert_url},
                    {"x5c": [base64.b64encode(thief.as_der(private=False)).decode()]},
                    {},
                ):
                    token = signed(provider, thief, {**headers, "kid": kid})
                    assert await authenticator.authenticate(token) is None
            own = signed(provider, headers={"jku": other.cert_url, "jwk": thief.as_dict(private=False)})
            assert await authenticator.authenticate(own) is not None
            assert other.seen == []

    @pytest.mark.parametrize("kid", ["unknown", "../../certs", "' or 1=1", "", 7, None, ["a"]])
    async def test_another_kid(
        self, provider: OpenIDProvider, authenticator: Authenticator, kid: Any
    ) -> None:
        signing = f"{encoded({'alg': 'RS256', 'kid': kid})}.{encoded(claims(provider))}"
        assert await authenticator.authenticate(_sign(provider, signing)) is None

    async def test_an_algorithm_that_the_key_is_not_for(
        self, provider: OpenIDProvider, make: Callable[..., Any]
    ) -> None:
        authenticator = await make(provider.cert_url, algorithms=["RS256", "PS256", "RS512", "ES256"])
        key = provider.keys[0].private_key
        for algorithm in ("PS256", "RS512"):
            token = jwt.encode(claims(provider), key, algorithm, {"kid": provider.keys[0].kid})
            assert await authenticator.authenticate(token) is None
        assert await authenticator.authenticate(signed(provider)) is not None

    async def test_an_algorithm_that_is_not_configured(
        self, provider: OpenIDProvider, make: Callable[..., Any]
    ) -> None:
        authenticator = await make(provider.cert_url, algorithms=["ES256"])
        assert await authenticator.authenticate(signed(provider)) is None
        assert provider.reads == 0

    @pytest.mark.parametrize("headers", [{"typ": "logout+jwt"}, {"crit": ["x"], "x": 1}, {"crit": []}])
    async def test_a_token_for_something_else(
        self, provider: OpenIDProvider, authenticator: Authenticator, headers: dict[str, Any]
    ) -> None:
        assert await authenticator.authenticate(signed(provider, headers=headers)) is None

    @pytest.mark.parametrize("kind", ["ID", "Logout", "Refresh", "Offline", "id"])
    async def test_what_a_provider_signs_besides_access_tokens(
        self, provider: OpenIDProvider, authenticator: Authenticator, kind: str
    ) -> None:
        """An ID token passes through browsers and their logs, and has the same issuer, audience and key."""
        assert await authenticator.authenticate(signed(provider, typ="Bearer")) is not None
        provider.seen.clear()
        assert await authenticator.authenticate(signed(provider, typ=kind)) is None


class TestKeys:
    @pytest.mark.parametrize(
        ("change", "counts"),
        [
            ({}, True),
            ({"alg": None}, True),
            ({"use": None}, True),
            ({"use": None, "key_ops": ["verify"]}, True),
            ({"use": "enc"}, False),
            ({"use": ["sig"]}, False),
            ({"use": None, "key_ops": ["encrypt"]}, False),
            ({"use": None, "key_ops": "verify"}, False),
            ({"alg": "RS512"}, False),
            ({"alg": "HS256"}, False),
            ({"alg": ["RS256"]}, False),
            ({"kty": "EC"}, False),
            ({"kty": "oct", "k": "AAAA"}, False),
            ({"kty": None}, False),
            ({"n": "!"}, False),
            ({"n": 3}, False),
            ({"e": None}, False),
            ({"kid": 7}, False),
        ],
    )
    async def test_what_a_key_says_of_itself_must_fit(
        self, provider: OpenIDProvider, authenticator: Authenticator, change: dict[str, Any], counts: bool
    ) -> None:
        other = new_key().as_dict(private=False)
        key = provider.keys[0].as_dict(private=False) | change
        key = {name: value for name, value in key.items() if value is not None}
        provider.answers["/certs"] = (200, json.dumps({"keys": [7, other, key]}).encode(), {})
        assert (await authenticator.authenticate(signed(provider)) is not None) is counts

    async def test_a_private_key_that_everybody_can_read_does_not_count(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        keys = [new_key().as_dict(private=False), provider.keys[0].as_dict(private=True)]
        provider.answers["/certs"] = (200, json.dumps({"keys": keys}).encode(), {})
        assert await authenticator.authenticate(signed(provider)) is None

    async def test_a_key_that_cannot_be_used_is_told_and_harms_no_other(
        self, provider: OpenIDProvider, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
    ) -> None:
        right = provider.keys[0].as_dict(private=False)
        broken = {**right, "kid": "broken", "n": "AA"}
        provider.answers["/certs"] = (200, json.dumps({"keys": [broken, right]}).encode(), {})
        assert await authenticator.authenticate(signed(provider)) is not None
        assert "key (kid 'broken')" in caplog.text

    async def test_a_weak_key_does_not_count(
        self, provider: OpenIDProvider, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.warns(SecurityWarning):
            weak = RSAKey.generate_key(1024, {"use": "sig", "alg": "RS256", "kid": "weak"})
        right = provider.keys[0]
        provider.rotate(weak, keep=True)
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            token = signed(provider, weak)
        assert await authenticator.authenticate(token) is None
        assert "key (kid 'weak') has 1024 bits; 2048 are needed" in caplog.text
        assert await authenticator.authenticate(signed(provider, right)) is not None

    async def test_without_kid_the_only_key_counts(
        self, provider: OpenIDProvider, authenticator: Authenticator, clock: Clock
    ) -> None:
        key = provider.keys[0]
        token = jwt.encode(claims(provider), key.private_key, "RS256")
        # Keys of other kinds and uses do not make it less clear.
        provider.keys = [key, new_key(ECKey), new_key(use="enc", alg="RSA-OAEP")]
        assert await authenticator.authenticate(token) is not None
        provider.keys.append(new_key())
        clock.now += 301.0
        assert await authenticator.authenticate(token) is None

    async def test_the_same_kid_twice_is_no_key(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        token = signed(provider)
        provider.rotate(new_key(kid=provider.keys[0].kid), keep=True)
        assert await authenticator.authenticate(token) is None
        assert await authenticator.authenticate(signed(provider)) is None


class TestRotation:
    async def test_a_new_key_counts_at_once(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        old = issued(provider)
        assert await authenticator.authenticate(old) is not None
        provider.rotate(keep=True)
        assert await authenticator.authenticate(issued(provider)) is not None
        assert await authenticator.authenticate(old) is not None
        assert provider.reads == 2

    async def test_known_keys_cost_no_call(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        token = issued(provider)
        for _ in range(20):
            assert await authenticator.authenticate(token) is not None
        assert provider.reads == 1

    async def test_a_key_that_was_withdrawn_ends(
        self, provider: OpenIDProvider, authenticator: Authenticator, clock: Clock
    ) -> None:
        token = issued(provider)
        assert await authenticator.authenticate(token) is not None
        provider.rotate()
        clock.now += 299.0
        assert await authenticator.authenticate(token) is not None
        clock.now += 2.0
        assert await authenticator.authenticate(token) is None

    async def test_unknown_keys_are_looked_for_once_a_second(
        self, provider: OpenIDProvider, authenticator: Authenticator, clock: Clock
    ) -> None:
        right = issued(provider)
        assert await authenticator.authenticate(right) is not None
        key = provider.keys[0].private_key
        tokens = [jwt.encode(claims(provider), key, "RS256", {"kid": f"unknown {n}"}) for n in range(1000)]
        found = await asyncio.gather(*map(authenticator.authenticate, tokens))
        assert found == [None] * 1000
        assert provider.reads == 2
        for token in tokens[:100]:
            assert await authenticator.authenticate(token) is None
        clock.now += 0.9
        assert await authenticator.authenticate(tokens[0]) is None
        assert provider.reads == 2
        clock.now += 0.2
        assert await authenticator.authenticate(tokens[0]) is None
        assert provider.reads == 3
        provider.rotate()
        clock.now += 1.1
        assert await authenticator.authenticate(issued(provider)) is not None

    async def test_many_at_the_start_share_one_read(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        token = issued(provider)
        found = await asyncio.gather(*(authenticator.authenticate(token) for _ in range(100)))
        assert None not in found
        assert provider.reads == 1

    async def test_one_who_goes_away_does_not_end_the_read_of_others(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        token = issued(provider)
        provider.hang = threading.Event()
        first, second = (asyncio.create_task(authenticator.authenticate(token)) for _ in range(2))
        await until(lambda: provider.reads)
        first.cancel()
        provider.hang.set()
        assert await second is not None
        assert provider.reads == 1


class TestOutage:
    @pytest.mark.parametrize(
        "answer",
        [
            (500, b"", {}),
            (404, b"{}", {}),
            (401, b"{}", {}),
            (302, b"", {"Location": "/"}),
            (200, b"<html>", {}),
            (200, b"", {}),
            (200, b"[]", {}),
            (200, b"{}", {}),
            (200, b'{"keys": []}', {}),
            (200, b'{"keys": {"a": 1}}', {}),
            (200, b'{"keys": [1, null, {}, {"kty": ["RSA"]}]}', {}),
            (200, b"[" * 60_000, {}),
            (200, b'{"keys": ["' + b"x" * 200_000 + b'"]}', {}),
        ],
        ids=lambda answer: f"{answer[0]} {answer[1][:12]!r}",
    )
    async def test_no_keys_at_the_start(
        self,
        provider: OpenIDProvider,
        authenticator: Authenticator,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
        answer: tuple[int, bytes, dict[str, str]],
    ) -> None:
        provider.answers["/certs"] = answer
        token = issued(provider)
        for _ in range(3):
            with pytest.raises(AuthenticationUnavailableError) as caught:
                await authenticator.authenticate(token)
            assert provider.url not in str(caught.value)
        assert provider.reads == 1
        assert token not in caplog.text
        provider.answers.clear()
        clock.now += 1.1
        assert await authenticator.authenticate(token) is not None

    async def test_a_provider_that_is_down_at_the_start(
        self, provider: OpenIDProvider, make: Callable[..., Any]
    ) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            authenticator = await make(f"http://127.0.0.1:{closed.getsockname()[1]}/certs")
            with pytest.raises(AuthenticationUnavailableError):
                await authenticator.authenticate(issued(provider))
            # What cannot count needs no key.
            assert await authenticator.authenticate("an-api-key") is None

    async def test_a_provider_that_hangs(self, provider: OpenIDProvider, make: Callable[..., Any]) -> None:
        authenticator = await make(provider.cert_url, timeout=0.1)
        token = issued(provider)
        provider.hang = threading.Event()
        with pytest.raises(AuthenticationUnavailableError):
            await asyncio.wait_for(authenticator.authenticate(token), 5)

    async def test_known_keys_go_on_for_an_hour(
        self, provider: OpenIDProvider, authenticator: Authenticator, clock: Clock
    ) -> None:
        token = issued(provider)
        assert await authenticator.authenticate(token) is not None
        provider.answers["/certs"] = (503, b"", {})
        unknown = signed(provider, headers={"kid": "unknown"})
        clock.now += 3599.0
        assert await authenticator.authenticate(token) is not None
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(unknown)
        clock.now += 2.0
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(token)

    async def test_nobody_with_a_known_key_waits_for_a_provider_that_is_down(
        self, provider: OpenIDProvider, authenticator: Authenticator, clock: Clock
    ) -> None:
        token = issued(provider)
        assert await authenticator.authenticate(token) is not None
        provider.answers["/certs"] = (503, b"", {})
        clock.now += 301.0
        assert await authenticator.authenticate(token) is not None
        assert provider.reads == 2
        provider.hang = threading.Event()
        clock.now += 1.1
        # It answers although the provider does not.
        assert await asyncio.wait_for(authenticator.authenticate(token), 5) is not None
        await until(lambda: provider.reads == 3)
        provider.rotate()
        provider.answers.clear()
        provider.hang.set()
        await until(lambda: authenticator._keys._error is None)  # type: ignore[attr-defined]
        assert await authenticator.authenticate(token) is None


class TestManyBearers:
    async def test_what_is_no_token_of_the_provider_causes_no_call(
        self, provider: OpenIDProvider, authenticator: Authenticator
    ) -> None:
        other = jwt.encode(claims(provider, iss="https://other.example"), "s" * 32, "HS256")
        same = signed(provider, iss="https://other.example", headers={"kid": "theirs"})
        endless = signed(provider, exp=None)
        for credentials in (
            endless,
            "api-key",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            f"{other}",
            same,
            "é.é.é",
            "x" * 100_000,
        ):
            assert await authenticator.authenticate(credentials) is None
        assert provider.seen == []

    async def test_the_manager_tries_them_in_order_and_forgets_in_time(
        self, provider: OpenIDProvider, tmp_path: Path
    ) -> None:
        with OpenIDProvider("second", [OAuthClient("polytope")], [Account("bob", "bobs")]) as second:
            realms = {
                name: {
                    "authenticators": {
                        "tokens": {
                            "type": "jwt",
                            "cert_url": each.cert_url,
                            "client_id": "polytope",
                            "issuer": each.issuer,
                            "audience": "polytope",
                        }
                    }
                }
                for name, each in (("one", provider), ("two", second))
            }
            settings = Settings.model_validate(
                {"authentication": realms, "api-keys": {"authenticator": {"type": "sql"}}}
            )
            now = time.time()
            clock = Clock()
            clock.now = now
            cache = MemoryCache(MemoryCache.Settings(), tmp_path)
            manager = create_authentication(settings, tmp_path, cache, clock=clock)
            await manager.open()
            try:
                alices = f"Bearer {issued(provider)}"
                alice = await manager.authenticate(alices)
                assert alice.user == User("alice", "one", (*ROLES, "default"))
                provider.answers["/certs"] = (503, b"", {})
                token = second.grant("polytope", "bob", "bobs")["access_token"]
                bob = await manager.authenticate(f"Bearer {token}")
                assert bob.user.realm == "two"
                with pytest.raises(UnauthenticatedError):
                    await manager.authenticate("Bearer an-api-key")
                # One that ends in less than the minute for which others are remembered.
                brief = f"Bearer {signed(second, exp=int(now) - 8, aud='polytope', sub='bob')}"
                briefly = await manager.authenticate(brief)
                assert briefly.user.username == "bob"
                # Who is remembered is the same object.
                remembered = {alices: alice, f"Bearer {token}": bob}
                for header, found in (remembered | {brief: briefly}).items():
                    assert await manager.authenticate(header) is found
                clock.now = now + 3.0
                for header, found in remembered.items():
                    assert await manager.authenticate(header) is found
                with suppress(UnauthenticatedError):  # by now the token itself may have ended
                    assert await manager.authenticate(brief) is not briefly
            finally:
                await manager.close()


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
                ["log in as anybody; use https://", "without issuer", "without audience"],
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
