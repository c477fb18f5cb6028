"""EmailKey against a who-am-i service on this machine."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from credential_services import WhoAmI
from pydantic import ValidationError

from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.ecmwfapi import ECMWFAPIAuthenticator, ECMWFAPISettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User

KEY = "0123&456/89 +#é%"


@pytest.fixture
def service() -> Iterator[WhoAmI]:
    with WhoAmI({KEY: {"uid": "alice", "email": "Alice@Example.org", "more": "1"}}) as service:
        yield service


@pytest.fixture
def make(tmp_path: Path, opened: Callable[..., Any]) -> Callable[..., Any]:
    async def make(url: str, **keys: Any) -> ECMWFAPIAuthenticator:
        settings = ECMWFAPISettings.model_validate({"url": url, "status_url": "ignored", **keys})
        authenticator = ECMWFAPIAuthenticator("ecmwf", settings, tmp_path)
        return await opened(authenticator)

    return make


@pytest.fixture
async def authenticator(service: WhoAmI, make: Callable[..., Any]) -> Authenticator:
    return await make(f"{service.url}/v1/")


class TestECMWFAPI(AuthenticatorContract):
    @pytest.fixture
    def right(self) -> str:
        return f"alice@example.ORG:{KEY}"

    @pytest.fixture
    def expected(self) -> User:
        attributes = {"ecmwf-email": "Alice@Example.org", "ecmwf-apikey": KEY}
        return User("alice", "ecmwf", attributes=attributes)

    @pytest.fixture
    def wrong(self) -> list[str]:
        return [f"bob@example.org:{KEY}", f"alice@example.org:{KEY}x", f":{KEY}", "alice@example.org:", KEY]


CREDENTIALS = f"alice@example.org:{KEY}"


async def test_incomplete_credentials_do_not_reach_the_service(
    service: WhoAmI, authenticator: Authenticator
) -> None:
    for credentials in ("", "a@b", "a@b:", ":key"):
        assert await authenticator.authenticate(credentials) is None
    assert service.seen == []


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_the_service_refuses_is_wrong(
    service: WhoAmI, authenticator: Authenticator, status: int
) -> None:
    service.answers[""] = (status, b"no", {})
    assert await authenticator.authenticate(CREDENTIALS) is None


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"", {}),
        (503, b"{}", {}),
        (404, b"", {}),
        (429, b"", {}),
        (200, b"", {}),
        (200, b"<html>", {}),
        (200, b"[" * 60_000, {}),
        (200, b"[]", {}),
        (200, b'{"uid": "alice"}', {}),
        (200, b'{"uid": 1, "email": "alice@example.org"}', {}),
        (200, b'{"uid": "", "email": "alice@example.org"}', {}),
        (200, b'{"uid": "a\\nb", "email": "alice@example.org"}', {}),
        (200, b'{"uid": "alice", "email": "alice@example.org"}' + b" " * 200_000, {}),
        (200, b"not gzip", {"Content-Encoding": "gzip"}),
        (302, b'{"uid": "alice", "email": "alice@example.org"}', {"Location": "/v1/who-am-i?token=x"}),
    ],
)
async def test_anything_else_is_neither_right_nor_wrong(
    service: WhoAmI, authenticator: Authenticator, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    service.answers[""] = answer
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(CREDENTIALS)
    assert service.url not in str(caught.value)
    assert len(service.seen) == 1  # no redirect was followed, nothing tried again


async def test_a_service_that_hangs_is_given_up(service: WhoAmI, make: Callable[..., Any]) -> None:
    service.hang = threading.Event()
    authenticator = await make(f"{service.url}/v1", timeout=0.1)
    with pytest.raises(AuthenticationUnavailableError):
        await asyncio.wait_for(authenticator.authenticate(CREDENTIALS), 5)


async def test_a_service_that_is_down(make: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    authenticator = await make(f"http://127.0.0.1:{port}")
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await authenticator.authenticate(CREDENTIALS)
    assert caught.value.__context__ is None  # the library's error holds the key


async def test_before_it_is_open_nothing_can_be_checked(tmp_path: Path) -> None:
    settings = ECMWFAPISettings.model_validate({"url": "http://127.0.0.1:1"})
    authenticator = ECMWFAPIAuthenticator("ecmwf", settings, tmp_path)
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate(CREDENTIALS)
    await authenticator.close()


async def test_the_key_is_in_no_log(
    service: WhoAmI, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    await authenticator.authenticate("alice@example.org:plainkey")
    service.answers[""] = (500, b"plainkey", {})
    with pytest.raises(AuthenticationUnavailableError):
        await authenticator.authenticate("alice@example.org:plainkey")
    assert "status 500" in caplog.text
    assert "plainkey" not in caplog.text


async def test_a_proxy_is_used_if_one_is_set_for_polytope(
    service: WhoAmI, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYTOPE_PROXY", service.url)
    authenticator = await make("http://who.invalid/v1")
    assert await authenticator.authenticate(CREDENTIALS) is not None
    assert service.seen[0].startswith("http://who.invalid/v1/who-am-i?")


async def test_other_proxies_are_not_used(
    service: WhoAmI, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLYTOPE_PROXY", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await authenticator.authenticate(CREDENTIALS) is not None


async def test_the_key_travels_in_a_header_if_that_is_asked_for(
    service: WhoAmI, make: Callable[..., Any]
) -> None:
    authenticator = await make(f"{service.url}/v1", token_in="header")
    assert await authenticator.authenticate(CREDENTIALS) is not None
    assert service.seen == ["/v1/who-am-i"]
    assert await authenticator.authenticate(CREDENTIALS + "x") is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("api.ecmwf.int", "such as https://"),
        ("ftp://api.ecmwf.int", "such as https://"),
        ("file:///etc/passwd", "such as https://"),
        ("https://", "such as https://"),
        ("https://:443/v1", "such as https://"),
        ("https://api.ecmwf.int:port", "such as https://"),
        ("https://[::1", "such as https://"),
        ("https://api.ecmwf.int/a b", "such as https://"),
        ("https://user:hidden@api.ecmwf.int", "no user"),
        ("https://api.ecmwf.int/v1#top", "fragment"),
        ("https://api.ecmwf.int/v1?key=hidden", "no query"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        ECMWFAPISettings.model_validate({"url": url})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_keys_that_travel_without_encryption_draw_a_warning(scheme: str) -> None:
    (warning,) = ECMWFAPISettings.model_validate({"url": f"{scheme}://api.example.org"}).warnings()
    assert "without encryption; use https://" in warning
    assert ECMWFAPISettings.model_validate({"url": "https://api.example.org"}).warnings() == []
