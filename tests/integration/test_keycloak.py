"""Keycloak, against the OpenID provider of :mod:`credential_services`, which is built with `authlib`."""

import asyncio
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from credential_services import Client, Keycloak, Person, Reply, basic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.keycloak import KeycloakAuthenticator, KeycloakSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User

PASSWORD = "pass:wörd &%+ 1"
CLIENT_SECRET = "the-secret-of-the-client/+=&"
#: A realm whose name needs quoting.
REALM, QUOTED = "our/realm?", "our%2Frealm%3F"
TOKEN, USERINFO = "/token", "/userinfo"


@pytest.fixture
def service() -> Iterator[Keycloak]:
    people = [
        Person(
            "alice",
            PASSWORD,
            {"email": "alice@example.org", "country": "IT", "groups": ["a", "b"], "level": 3, "none": None},
        ),
        Person("bob", "bobs"),
        Person("carol", "carols", enabled=False),
    ]
    with Keycloak(QUOTED, Client("polytope", CLIENT_SECRET), people) as service:
        yield service


@pytest.fixture
def make(tmp_path: Path, opened: Callable[..., Any]) -> Callable[..., Any]:
    async def make(url: str, **keys: Any) -> KeycloakAuthenticator:
        given = {"client_id": "polytope", "client_secret": CLIENT_SECRET, "keycloak_realm": REALM, **keys}
        settings = KeycloakSettings.model_validate({"url": url, **given})
        authenticator = KeycloakAuthenticator("site", settings, tmp_path)
        return await opened(authenticator)

    return make


@pytest.fixture
async def authenticator(service: Keycloak, make: Callable[..., Any]) -> Authenticator:
    mapped = {"ecmwf-email": "email", "groups": "groups", "level": "level", "none": "none", "no": "no"}
    return await make(f"{service.url}/", attributes=mapped)


RIGHT = basic("alice", PASSWORD)


class TestKeycloak(AuthenticatorContract):
    @pytest.fixture
    def right(self) -> str:
        return RIGHT

    @pytest.fixture
    def expected(self) -> User:
        attributes = {"ecmwf-email": "alice@example.org", "groups": '["a", "b"]', "level": "3"}
        return User("alice", "site", attributes=attributes)

    @pytest.fixture
    def wrong(self) -> list[str]:
        people = [("alice", "bobs"), ("alice", ""), ("nobody", PASSWORD), ("carol", "carols"), ("", PASSWORD)]
        return [basic(*person) for person in people]


@pytest.mark.parametrize("spelling", ["alice", "Alice", "ALICE", "alice@example.org", "Alice@Example.org"])
async def test_all_spellings_are_one_user(
    service: Keycloak, authenticator: Authenticator, spelling: str
) -> None:
    user = await authenticator.authenticate(basic(spelling, PASSWORD))
    assert user is not None
    assert user.username == "alice"
    assert service.forms[0]["username"] == spelling


async def test_without_the_name_of_the_user_nobody_is_let_in(
    service: Keycloak, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    service.client.default_scopes = "email"
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(RIGHT)
    assert "no preferred_username: the client needs the scope `profile`" in caplog.text


@pytest.mark.parametrize("keys", [{"client_secret": "another"}, {"client_id": "another"}])
async def test_a_client_that_is_refused_is_the_operators_mistake(
    service: Keycloak, make: Callable[..., Any], keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = await make(service.url, **keys)
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(RIGHT)
    assert service.url not in str(caught.value)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "refuses the client of the configuration (invalid_client)" in record.getMessage()


async def test_a_client_that_may_not_use_the_grant_is_the_operators_mistake(
    service: Keycloak, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    service.client.check_grant_type = lambda grant_type: False  # type: ignore[method-assign]
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(RIGHT)
    assert "(unauthorized_client)" in caplog.text


async def test_a_realm_that_does_not_exist_lets_nobody_in(
    service: Keycloak, make: Callable[..., Any]
) -> None:
    authenticator = await make(service.url, keycloak_realm="other")
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(RIGHT)


async def test_what_cannot_be_right_does_not_reach_the_service(
    service: Keycloak, authenticator: Authenticator
) -> None:
    for username, password in [("a\0", "b"), ("a\n", "b"), ("a", "b\0"), ("a" * 256, "b"), ("", "b")]:
        assert await authenticator.authenticate(basic(username, password)) is None
    assert service.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        (401, b'{"error":"invalid_grant","error_description":"Invalid user credentials"}', {}),
        (400, b'{"error":"invalid_grant","error_description":"Account is not fully set up"}', {}),
        (401, b"", {}),
    ],
)
async def test_a_password_that_keycloak_refuses_is_wrong(
    service: Keycloak, authenticator: Authenticator, answer: Reply
) -> None:
    service.answers[TOKEN] = answer
    assert await authenticator.authenticate(RIGHT) is None


GARBAGE: list[Reply] = [
    (500, b"", {}),
    (503, b'{"error":"invalid_grant"}', {}),
    (404, b"", {}),
    (429, b"", {}),
    (400, b'{"error":"invalid_request","error_description":"HTTPS required"}', {}),
    (400, b'{"error":["invalid_grant"]}', {}),
    (200, b"", {}),
    (200, b"<html>", {}),
    (200, b"[" * 60_000, {}),
    (200, b"[]", {}),
    (200, b'{"access_token": ""}', {}),
    (200, b'{"access_token": 1, "preferred_username": 1}', {}),
    (200, b'{"access_token": "a\\r\\nb", "preferred_username": "a\\r\\nb"}', {}),
    (200, b'{"access_token": "\\u00e9", "preferred_username": "a\\u0000"}', {}),
    (200, b'{"access_token": "x", "preferred_username": "alice"}' + b" " * 200_000, {}),
    (200, b"not gzip", {"Content-Encoding": "gzip"}),
    (302, b'{"access_token": "x", "preferred_username": "alice"}', {"Location": "/elsewhere"}),
]


@pytest.mark.parametrize("end", [TOKEN, USERINFO])
@pytest.mark.parametrize("answer", GARBAGE)
async def test_anything_else_is_neither_right_nor_wrong(
    service: Keycloak, authenticator: Authenticator, answer: Reply, end: str
) -> None:
    service.answers[end] = answer
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(RIGHT)
    assert service.url not in str(caught.value)
    # No redirect was followed, nothing tried again.
    assert [path.rpartition("/")[2] for path in service.seen] == ["token", "userinfo"][: len(service.seen)]
    assert service.seen[-1].endswith(end)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_refused_is_no_wrong_password(
    service: Keycloak, authenticator: Authenticator, status: int
) -> None:
    service.answers[USERINFO] = (status, b'{"error":"invalid_token"}', {})
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(RIGHT)


async def test_a_service_that_hangs_is_given_up(service: Keycloak, make: Callable[..., Any]) -> None:
    service.hang = threading.Event()
    authenticator = await make(service.url, timeout=0.1)
    with pytest.raises(AuthenticationUnavailableError):
        await asyncio.wait_for(authenticator.authenticate(RIGHT), 5)


async def test_a_service_that_is_down(make: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    authenticator = await make(f"http://127.0.0.1:{port}")
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(RIGHT)
    assert caught.value.__context__ is None  # the library's error may hold the password


async def test_no_secret_is_in_a_log(
    service: Keycloak, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    # The provider of the test runs in this process, and logs what it does.
    logging.getLogger("authlib").setLevel(logging.CRITICAL)
    caplog.set_level(logging.DEBUG)
    await authenticator.authenticate(RIGHT)
    body = {"error": PASSWORD, "error_description": PASSWORD}
    for end, answer in {TOKEN: (500, json.dumps(body).encode(), {}), USERINFO: (401, b"{}", {})}.items():
        service.answers = {end: answer}
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(RIGHT)
    assert "status 500" in caplog.text
    assert "status 401" in caplog.text
    for secret in (CLIENT_SECRET, PASSWORD, RIGHT, *service.token_texts):
        assert secret not in caplog.text
        assert secret not in repr(authenticator.settings)


async def test_the_environment_is_left_alone(
    service: Keycloak, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    before = dict(os.environ)
    seen = []
    service.answers = {}
    reply = service.reply
    service.reply = lambda *call: (seen.append(dict(os.environ)), reply(*call))[1]  # type: ignore[method-assign]
    assert await authenticator.authenticate(RIGHT) is not None
    assert [*seen, dict(os.environ)] == [before] * 3


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "https://k.example"}, []),
        ({"url": "http://k.example/auth"}, ["without encryption"]),
        ({"url": "https://k.example", "skip_tls": True}, ["skip_tls"]),
    ],
)
def test_what_is_not_safe_draws_a_warning(keys: dict[str, Any], expected: list[str]) -> None:
    given = {"client_id": "a", "client_secret": "hunter2", "keycloak_realm": "b", **keys}
    found = KeycloakSettings.model_validate(given).warnings()
    assert len(found) == len(expected)
    assert all(word in text for word, text in zip(expected, found, strict=True))


@pytest.mark.parametrize("missing", ["url", "client_id", "client_secret", "keycloak_realm"])
def test_what_is_needed_is_named(missing: str) -> None:
    given = dict.fromkeys(("client_id", "client_secret", "keycloak_realm"), "hunter2")
    given["url"] = "https://k.example"
    del given[missing]
    with pytest.raises(ValueError, match=rf"{missing}\n  Field required") as caught:
        KeycloakSettings.model_validate(given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("skip_tls", [False, True])
async def test_a_certificate_that_nobody_vouches_for(
    service: Keycloak, make: Callable[..., Any], tmp_path: Path, skip_tls: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "server.pem"))
    service.socket = context.wrap_socket(service.socket, server_side=True)
    authenticator = await make(service.url.replace("http:", "https:"), skip_tls=skip_tls)
    if skip_tls:
        assert await authenticator.authenticate(RIGHT) is not None
    else:
        with pytest.raises(AuthenticationUnavailableError):
            await authenticator.authenticate(RIGHT)
        assert service.seen == []


def self_signed(path: Path) -> Path:
    """Key and certificate of 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path
