"""auth-o-tron, against a service that keeps to its contract: `GET /authenticate`, and a signed token."""

import asyncio
import base64
import json
import logging
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from credential_services import AuthOTron, CredentialService, Reply, basic
from cryptography.hazmat.primitives.asymmetric import rsa

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.auth_o_tron import authenticators
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.manager import Authentication
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.settings import Settings
from polytope_server.settings.data import AuthOTronSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User

SECRET = "a secret that two services share" * 2
KEY = "0123456789/+=abc"
ALICE = {
    "username": "alice",
    "realm": "far",
    "roles": ["reader", "writer"],
    "attributes": {"country": "IT", "ecmwf-apikey": "k3y"},
}
BASIC = basic("alice", "alice's password")


@pytest.fixture
def service() -> Iterator[AuthOTron]:
    bob = {"username": "bob", "realm": "near", "roles": [], "attributes": {}}
    known = {f"Basic {BASIC}": ALICE, f"Bearer {KEY}": ALICE, f"Basic {basic('bob', 'bobs')}": bob}
    with AuthOTron(SECRET, known) as service:
        yield service


Make = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path, opened: Callable[..., Any]) -> Make:
    async def make(scheme: str, url: str, **keys: Any) -> Authenticator:
        settings = AuthOTronSettings.model_validate({"url": url, "secret": SECRET, **keys})
        found = {one.scheme: one for one in authenticators(settings, tmp_path)}
        return await opened(found[scheme])

    return make


RIGHT = {"Basic": BASIC, "Plain": BASIC, "Bearer": KEY, "EmailKey": f"alice@example.org:{KEY}"}


@pytest.mark.parametrize("scheme", RIGHT)
class TestAuthOTron(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(self, service: AuthOTron, make: Make, scheme: str) -> Authenticator:
        made: Authenticator = await make(scheme, f"{service.url}/")
        return made

    @pytest.fixture
    def right(self, scheme: str) -> str:
        return RIGHT[scheme]

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "far", attributes={"country": "IT", "ecmwf-apikey": "k3y"})

    @pytest.fixture
    def wrong(self, scheme: str) -> list[str]:
        return {
            "Basic": [basic("alice", "x"), basic("bob", "alice's password"), KEY],
            "Plain": [basic("alice", "x"), KEY],
            "Bearer": [f"{KEY}x", BASIC],
            "EmailKey": [f"alice@example.org:{KEY}x", KEY, "alice@example.org:", f":{KEY}"],
        }[scheme]

    async def test_what_is_forwarded(
        self, service: AuthOTron, authenticator: Authenticator, right: str, scheme: str
    ) -> None:
        await authenticator.authenticate(right)
        sent = {"Basic": f"Basic {BASIC}", "Plain": f"Basic {BASIC}"}.get(scheme, f"Bearer {KEY}")
        assert service.forwarded == [sent]
        assert service.seen == ["/authenticate"]

    async def test_roles_are_those_of_the_token(self, authenticator: Authenticator, right: str) -> None:
        user = await authenticator.authenticate(right)
        assert user is not None
        assert user.roles == ("reader", "writer")

    async def test_what_would_be_another_header_is_not_forwarded(
        self, service: AuthOTron, authenticator: Authenticator, scheme: str
    ) -> None:
        before = "a@b:" if scheme == "EmailKey" else ""
        for word in ("a b", "a,b", "a\tb", "a\r\nX: b", "é", "\ud800", "", "a\x7f"):
            assert await authenticator.authenticate(before + word) is None
        assert service.seen == []


@pytest.fixture
async def authenticator(service: AuthOTron, make: Make) -> Authenticator:
    made: Authenticator = await make("Basic", service.url)
    return made


def unsigned(claims: dict[str, Any]) -> Reply:
    token = jwt.encode({"exp": int(time.time()) + 60, **claims}, None, algorithm="none")
    return 200, b"", {"Authorization": f"Bearer {token}"}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ALICE.items() if name not in names}


def replied(headers: dict[str, str], status: int = 200, body: bytes = b"") -> Callable[[Any], Reply]:
    return lambda service: (status, body, headers)


def signed(claims: dict[str, Any], **how: Any) -> Callable[[AuthOTron], Reply]:
    return lambda service: service.signed(claims, **how)


def with_payload(payload: bytes) -> Callable[[AuthOTron], Reply]:
    token = jwt.api_jws.encode(payload, SECRET, "HS256")
    return replied({"Authorization": f"Bearer {token}"})


def with_header(header: bytes) -> Callable[[AuthOTron], Reply]:
    return replied({"Authorization": f"Bearer {base64.urlsafe_b64encode(header).decode()}.e30.e30"})


def rs256(service: AuthOTron) -> Reply:
    return service.signed(ALICE, key=rsa.generate_private_key(65537, 2048), algorithm="RS256")


NO_USE: dict[str, Callable[[AuthOTron], Reply]] = {
    "a wrong secret": signed(ALICE, key=SECRET + "x"),
    "no algorithm": lambda service: unsigned(ALICE),
    "another algorithm": rs256,
    "another hash": signed(ALICE, algorithm="HS512"),
    "no end": lambda service: with_payload(json.dumps(ALICE).encode())(service),
    "an end that is none": signed({**ALICE, "exp": "soon"}),
    "an endless end": with_payload(b'{"username": "alice", "realm": "far", "exp": 1e999}'),
    "not yet valid": signed({**ALICE, "nbf": int(time.time()) + 1000}),
    "no user": signed(without("username")),
    "no realm": signed(without("realm")),
    "a user without a name": signed({**ALICE, "username": ""}),
    "a user of two lines": signed({**ALICE, "username": "a\nb"}),
    "a user that is no text": signed({**ALICE, "username": 1}),
    "roles that are no list": signed({**ALICE, "roles": "admin"}),
    "roles that are no texts": signed({**ALICE, "roles": [1]}),
    "attributes that are no texts": signed({**ALICE, "attributes": {"a": {}}}),
    "no token": replied({}),
    "an empty token": replied({"Authorization": "Bearer "}),
    "another scheme": replied({"Authorization": "Basic YTpi"}),
    "garbage": replied({"Authorization": "Bearer a.b.c"}),
    "garbage in UTF-8": replied({"Authorization": "Bearer \xe9\xff"}),
    "a claim that is no object": with_payload(b"[]"),
    "claims that are too deep": with_payload(b"[" * 40_000),
    "a header that is too deep": with_header(b'{"a":' * 9_000),
    "a token that is too long": replied({"Authorization": f"Bearer {'a' * 100_000}"}),
    "a failure": replied({}, 500),
    "an overload": replied({}, 503),
    "another service": replied({}, 404, b"{}"),
    "a redirect": replied({"Location": "/elsewhere"}, 302),
    "a broken body": replied({"Content-Encoding": "gzip"}, 200, b"not gzip"),
}


@pytest.mark.parametrize("name", NO_USE)
async def test_anything_else_is_neither_right_nor_wrong(
    service: AuthOTron, authenticator: Authenticator, name: str
) -> None:
    service.answers["/authenticate"] = NO_USE[name](service)
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(BASIC)
    assert service.url not in str(caught.value)
    assert service.seen == ["/authenticate"]  # no redirect was followed, nothing tried again


@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_service_refuses_is_wrong(
    service: AuthOTron, authenticator: Authenticator, status: int
) -> None:
    service.answers["/authenticate"] = (status, b"", {})
    assert await authenticator.authenticate(BASIC) is None


async def test_a_token_that_has_ended_is_wrong(
    service: AuthOTron, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers["/authenticate"] = service.signed({**ALICE, "exp": int(time.time()) - 1})
    assert await authenticator.authenticate(BASIC) is None
    assert "are the clocks in step?" in caplog.text


async def test_a_token_for_others_whose_clock_is_ahead_is_right(
    service: AuthOTron, authenticator: Authenticator
) -> None:
    claims = {**without("roles", "attributes"), "aud": "polytope", "iat": int(time.time()) + 5}
    service.answers["/authenticate"] = service.signed(claims)
    user = await authenticator.authenticate(BASIC)
    assert user is not None
    assert (user.username, user.roles, user.attributes) == ("alice", (), {})


async def test_a_user_may_have_many_roles(service: AuthOTron, authenticator: Authenticator) -> None:
    roles = [f"role number {number}" for number in range(1000)]
    service.answers["/authenticate"] = service.signed({**ALICE, "roles": roles})
    user = await authenticator.authenticate(BASIC)
    assert user is not None
    assert user.roles == tuple(roles)


async def test_a_short_secret_works(service: AuthOTron, make: Make) -> None:
    with warnings.catch_warnings(action="ignore"):
        service.answers["/authenticate"] = service.signed(ALICE, key="short")
    authenticator = await make("Basic", service.url, secret="short")
    assert await authenticator.authenticate(BASIC) is not None


async def test_an_address_without_a_scheme_is_http(service: AuthOTron, make: Make) -> None:
    authenticator = await make("Basic", service.url.removeprefix("http://"))
    assert await authenticator.authenticate(BASIC) is not None


async def test_a_service_that_hangs_is_given_up(service: AuthOTron, make: Make) -> None:
    service.hang = threading.Event()
    authenticator = await make("Basic", service.url, timeout=0.1)
    with pytest.raises(AuthenticationUnavailableError):
        await asyncio.wait_for(authenticator.authenticate(BASIC), 5)


async def test_a_service_that_is_down(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    authenticator = await make("Basic", f"http://127.0.0.1:{port}")
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(BASIC)
    assert caught.value.__context__ is None


async def test_nothing_secret_is_in_a_log(
    service: AuthOTron, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await authenticator.authenticate(BASIC)
    reply = service.signed({**ALICE, "username": {"the": "claim"}})
    service.answers["/authenticate"] = reply
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(BASIC)
    assert "a token that cannot be used (ValidationError)" in caplog.text
    for secret in (SECRET, BASIC, reply[2]["Authorization"].removeprefix("Bearer "), "claim"):
        assert secret not in caplog.text


Manage = Callable[..., AbstractAsyncContextManager[Authentication]]


@pytest.fixture
def manage(tmp_path: Path) -> Manage:
    @asynccontextmanager
    async def manage(
        service: CredentialService, clock: Callable[[], float] = time.time, **sections: Any
    ) -> AsyncIterator[Authentication]:
        authentication = {"auth-o-tron": {"url": service.url, "secret": SECRET}, **sections}
        settings = Settings.model_validate({"authentication": authentication})
        cache = MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock)
        manager = create_authentication(settings, tmp_path, cache, clock=clock)
        await manager.open()
        try:
            yield manager
        finally:
            await manager.close()

    return manage


LOCAL: dict[str, Any] = {
    "near": {
        "authenticators": {
            "users": {"type": "plain", "clear_text": True, "users": [{"uid": "carol", "password": "carols"}]}
        },
        "authorizers": {"admins": {"type": "plain", "roles": {"admin": ["bob"], "reader": ["alice"]}}},
    }
}
CAROL = f"Basic {basic('carol', 'carols')}"
WRONG = f"Basic {basic('alice', 'x')}"


async def test_realms_are_asked_first(service: AuthOTron, manage: Manage) -> None:
    async with manage(service, **LOCAL) as manager:
        user = (await manager.authenticate(CAROL)).user
        assert (user.username, user.realm) == ("carol", "near")
        assert service.seen == []
        user = (await manager.authenticate(f"Basic {BASIC}")).user
        assert (user.username, user.realm) == ("alice", "far")
        assert set(user.roles) == {"reader", "writer", "default"}


async def test_a_user_gets_the_roles_of_a_realm_of_this_server(service: AuthOTron, manage: Manage) -> None:
    async with manage(service, **LOCAL) as manager:
        user = (await manager.authenticate(f"Basic {basic('bob', 'bobs')}")).user
        assert (user.username, user.realm, set(user.roles)) == ("bob", "near", {"admin", "default"})


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {KEY}",
        f"{WRONG}, Bearer {KEY}",
        f"Bearer {KEY},{WRONG}",
        f"{WRONG},EmailKey a@b:x, plain {BASIC},Bearer x",
        f"emailkey a@b:{KEY}, garbage, {WRONG}",
    ],
)
async def test_several_credentials(service: AuthOTron, manage: Manage, header: str) -> None:
    async with manage(service, **LOCAL) as manager:
        assert (await manager.authenticate(header)).user.username == "alice"


async def test_nothing_right(service: AuthOTron, manage: Manage) -> None:
    async with manage(service, **LOCAL) as manager:
        with pytest.raises(UnauthenticatedError) as caught:
            await manager.authenticate(f"{WRONG}, EmailKey a@b:x, Bearer x, Plain eDp5")
    schemes = [challenge.split()[0] for challenge in caught.value.challenges]
    assert sorted(schemes) == ["Basic", "Bearer", "EmailKey", "Plain"]


async def test_when_it_is_down_realms_still_let_in(service: AuthOTron, manage: Manage) -> None:
    service.answers["/authenticate"] = (500, b"", {})
    async with manage(service, **LOCAL) as manager:
        assert (await manager.authenticate(f"Bearer x, {CAROL}")).user.username == "carol"
        with pytest.raises(AuthenticationUnavailableError):
            await manager.authenticate(f"Bearer x, {WRONG}")


async def test_nobody_is_remembered_beyond_the_end_of_the_token(service: AuthOTron, manage: Manage) -> None:
    now = time.time()
    offset = [0.0]
    service.known[f"Bearer {KEY}"] = {**ALICE, "exp": int(now) + 30}
    async with manage(service, lambda: now + offset[0], cache="1h", **LOCAL) as manager:
        for header in (f"Bearer {KEY}", f"Bearer {KEY}", f"Bearer {KEY}, Bearer x"):
            await manager.authenticate(header)
        assert len(service.seen) == 1
        del service.known[f"Bearer {KEY}"]
        offset[0] = 28.0
        await manager.authenticate(f"Bearer {KEY}")
        offset[0] = 31.0
        for header in (f"Bearer {KEY}", f"Bearer {KEY}, Bearer x"):
            with pytest.raises(UnauthenticatedError):
                await manager.authenticate(header)
