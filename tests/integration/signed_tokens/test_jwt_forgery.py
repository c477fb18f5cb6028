"""Forged and unsuitable tokens, against an OpenID provider."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from openid_provider import OpenIDProvider, new_key
from tokens import claims, encoded, sign, signed

from polytope_server.authentication import Authenticator


class TestForgery:
    """Ways around a signature. Each first shows that the token would count with the right key."""

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["RS256"], {"a": 1}, 7])
    async def test_no_algorithm(
        self, provider: OpenIDProvider, authenticator: Authenticator, algorithm: Any
    ) -> None:
        header = encoded({"alg": algorithm, "kid": provider.keys[0].kid})
        signing = f"{header}.{encoded(claims(provider))}"
        for token in (f"{signing}.", sign(provider, signing)):
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
        assert await authenticator.authenticate(sign(provider, signing)) is None

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
