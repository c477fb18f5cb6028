"""The provider's keys: rotation, outages, and many tokens at a time."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey
from openid_provider import Account, OAuthClient, OpenIDProvider, new_key
from tokens import ROLES, Clock, claims, issued, signed

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.jwt import JWTAuthenticator
from polytope_server.caching.memory import MemoryCache
from polytope_server.settings import Settings
from polytope_server.testing.waiting import until
from polytope_server.user import User


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
        self, provider: OpenIDProvider, authenticator: JWTAuthenticator, clock: Clock
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
        await until(lambda: not authenticator.keys.is_failing)
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
