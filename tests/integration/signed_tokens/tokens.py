"""Signed tokens for tests: what a provider issues, and what others make up."""

import base64
import json
import time
from typing import Any

import jwt
from joserfc.jwk import ECKey, RSAKey
from openid_provider import OpenIDProvider

PASSWORD = "alice's password"
ROLES = ("reader", "writer", "staff")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


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


def sign(provider: OpenIDProvider, signing: str) -> str:
    signature = jwt.get_algorithm_by_name("RS256").sign(signing.encode(), provider.keys[0].private_key)
    return f"{signing}.{encoded(signature)}"
