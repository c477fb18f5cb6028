"""An OpenID provider, and an authenticator that takes its tokens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openid_provider import Account, OAuthClient, OpenIDProvider
from tokens import PASSWORD, Clock

from polytope_server.authentication import Authenticator
from polytope_server.authentication.jwt import JWTAuthenticator, JWTSettings


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
        authenticator.keys.clock = clock
        return await opened(authenticator)

    return make


@pytest.fixture
async def authenticator(provider: OpenIDProvider, make: Callable[..., Any]) -> Authenticator:
    return await make(provider.cert_url, issuer=provider.issuer, audience="polytope")
