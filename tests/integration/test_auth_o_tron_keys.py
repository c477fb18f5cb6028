"""auth-o-tron from version 0.4 on: tokens signed by RSA keys, which they name, for one audience."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from credential_services import AuthOTron04, Reply, basic
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.auth_o_tron import authenticators
from polytope_server.settings.data import AuthOTronSettings
from polytope_server.user import User

OLD, NEW, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(3))
SECRET = "a secret that two services share" * 2
ALICE = {"username": "alice", "realm": "far", "roles": ["reader"], "attributes": {"country": "IT"}}
BASIC = basic("alice", "alice's password")
EXPECTED = User("alice", "far", ("reader",), {"country": "IT"})

Make = Callable[..., Any]


def public(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**found, "kid": kid, "use": "sig", "alg": "RS256"}


KEYS = {"key-2025": public(OLD), "key-2026": public(NEW)}


@pytest.fixture
def service() -> Iterator[AuthOTron04]:
    with AuthOTron04(NEW, "key-2026", {f"Basic {BASIC}": ALICE}) as service:
        yield service


@pytest.fixture
def make(service: AuthOTron04, tmp_path: Path, opened: Callable[..., Any]) -> Make:
    async def make(**keys: Any) -> Authenticator:
        section = {"url": service.url, "issuer": "auth-o-tron", "audience": "polytope", **keys}
        return await opened(authenticators(AuthOTronSettings.model_validate(section), tmp_path)[0])  # type: ignore[no-any-return]

    return make


@pytest.fixture(params=["public_keys", "jwks_url"])
async def authenticator(request: pytest.FixtureRequest, service: AuthOTron04, make: Make) -> Authenticator:
    """One that has the keys in its configuration, and one that reads them where they are published."""
    keys = [jwk(OLD, "key-2025"), jwk(NEW, "key-2026")]
    service.answers["/keys"] = (200, json.dumps({"keys": keys}).encode(), {})
    how = {"public_keys": KEYS} if request.param == "public_keys" else {"jwks_url": f"{service.url}/keys"}
    made: Authenticator = await make(**how)
    return made


async def test_the_user_is_the_one_of_the_token(authenticator: Authenticator) -> None:
    user = await authenticator.authenticate(BASIC)
    assert user is not None
    assert (user, user.roles, user.attributes) == (EXPECTED, EXPECTED.roles, EXPECTED.attributes)
    assert user.until < time.time() + 3601


async def test_while_keys_change_both_count(authenticator: Authenticator, service: AuthOTron04) -> None:
    service.key, service.kid = OLD, "key-2025"
    assert await authenticator.authenticate(BASIC) == EXPECTED


async def test_a_token_that_has_ended_is_wrong(authenticator: Authenticator, service: AuthOTron04) -> None:
    service.answers["/authenticate"] = service.signed({**ALICE, "exp": int(time.time()) - 1})
    assert await authenticator.authenticate(BASIC) is None


async def test_wrong_credentials_are_wrong(authenticator: Authenticator) -> None:
    assert await authenticator.authenticate(basic("alice", "x")) is None


def forged(service: AuthOTron04, header: dict[str, Any], key: bytes) -> Reply:
    """A token by HMAC, made by hand: PyJWT takes no public key for a secret."""
    claims = {**ALICE, "iss": "auth-o-tron", "aud": "polytope", "exp": int(time.time()) + 60}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)
    ]  # fmt: skip
    signature = hmac.digest(key, b".".join(parts), hashlib.sha256)
    token = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    return 200, b"", {"Authorization": f"Bearer {token}"}


def hmac_with_the_public_key(service: AuthOTron04) -> Reply:
    return forged(service, {"alg": "HS256", "typ": "JWT", "kid": "key-2026"}, public(NEW).encode())


def unsigned(service: AuthOTron04) -> Reply:
    return service.signed(ALICE, key=None, algorithm="none")


NO_USE: dict[str, Callable[[AuthOTron04], Reply]] = {
    "another key": lambda service: service.signed(ALICE, key=OTHER),
    "the other key": lambda service: service.signed(ALICE, key=OLD),
    "an unknown key": lambda service: service.signed(ALICE, key=OTHER, headers={"kid": "key-2027"}),
    "a key without a name": lambda service: service.signed(ALICE, headers={}),
    "as up to 0.3": lambda service: service.signed(ALICE, key=SECRET, algorithm="HS256", headers={}),
    "HS256 with a kid": lambda service: service.signed(ALICE, key=SECRET, algorithm="HS256"),
    "the public key as a secret": hmac_with_the_public_key,
    "no signature": unsigned,
    "another hash": lambda service: service.signed(ALICE, algorithm="RS512"),
    "another padding": lambda service: service.signed(ALICE, algorithm="PS256"),
    "another issuer": lambda service: service.signed({**ALICE, "iss": "another"}),
    "another audience": lambda service: service.signed({**ALICE, "aud": "another"}),
    "no audience": lambda service: service.vouched(
        ALICE, key=NEW, algorithm="RS256", headers={"kid": "key-2026"}
    ),
    "not yet valid": lambda service: service.signed({**ALICE, "nbf": int(time.time()) + 1000}),
    "no user": lambda service: service.signed({**ALICE, "username": ""}),
}


@pytest.mark.parametrize("name", NO_USE)
async def test_anything_else_is_neither_right_nor_wrong(
    service: AuthOTron04, authenticator: Authenticator, name: str
) -> None:
    service.answers["/authenticate"] = NO_USE[name](service)
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(BASIC)


async def test_a_token_of_0_4_does_not_count_where_a_secret_is_configured(
    service: AuthOTron04, make: Make
) -> None:
    authenticator = await make(secret=SECRET, issuer=None, audience=None)
    for reply in (service.signed(ALICE), hmac_with_the_public_key(service)):
        service.answers["/authenticate"] = reply
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(BASIC)


async def test_a_new_key_is_read_where_keys_are_published(service: AuthOTron04, make: Make) -> None:
    service.answers["/keys"] = (200, json.dumps({"keys": [jwk(NEW, "key-2026")]}).encode(), {})
    authenticator = await make(jwks_url=f"{service.url}/keys")
    assert await authenticator.authenticate(BASIC) == EXPECTED
    service.key, service.kid = OTHER, "key-2027"
    both = [jwk(NEW, "key-2026"), jwk(OTHER, "key-2027")]
    service.answers["/keys"] = (200, json.dumps({"keys": both}).encode(), {})
    assert await authenticator.authenticate(BASIC) == EXPECTED


async def test_without_the_keys_no_one_can_tell(service: AuthOTron04, make: Make) -> None:
    service.answers["/keys"] = (500, b"", {})
    authenticator = await make(jwks_url=f"{service.url}/keys")
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(BASIC)
