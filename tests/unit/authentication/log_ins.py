"""An authenticator and an authorizer that do what a test says, and configurations with them."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.authentication import (
    AuthenticationUnavailableError,
    Authenticator,
)
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.manager import Authentication
from polytope_server.authorization import Authorizer
from polytope_server.caching import JSON
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.user import User

SECRET = "a-secret-of-some-length"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Cache(MemoryCache):
    """Shows what is put into it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(MemoryCacheSettings(), path, clock=clock)
        self.seen: list[tuple[str, JSON, float]] = []

    async def set(self, key: str, value: JSON, seconds: float) -> None:
        self.seen.append((key, value, seconds))
        await super().set(key, value, seconds)


class Stub(Authenticator):
    """`Stub <name>`: counts, and fails when the test says so."""

    scheme = "Stub"
    calls = 0
    down = False
    until = math.inf

    async def authenticate(self, credentials: str) -> User | None:
        Stub.calls += 1
        await asyncio.sleep(0)
        if Stub.down:
            raise AuthenticationUnavailableError("the stub is down")
        if credentials.startswith("wrong"):
            return None
        attributes = {"ecmwf-apikey": "k3y", "ecmwf-email": "a@b"}
        return User(credentials, self.realm, ("own",), attributes, until=Stub.until)


class StubAuthorizer(Authorizer):
    """Gives what the test says."""

    granted: tuple[str, ...] = ()
    down = False

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        if StubAuthorizer.down:
            raise AuthenticationUnavailableError("the authorizer is down")
        return [*StubAuthorizer.granted], {"from": "authorizer"}


STUBS: dict[tuple[str, str], type[Any]] = {
    ("authenticator", "stub"): Stub,
    ("authorizer", "stub"): StubAuthorizer,
}


Open = Callable[..., Awaitable[Authentication]]

PLAIN = {"type": "plain", "users": [{"uid": "alice", "password": "secret"}]}
STUB = {"s": {"authenticators": {"stub": {"type": "stub"}}, "authorizers": {"stub": {"type": "stub"}}}}
FULL = {
    "r": {
        "authenticators": {"plain": PLAIN},
        "authorizers": {"plain": {"type": "plain", "roles": {"admin": ["alice"]}}},
    },
    **STUB,
}


async def refusal(manager: Authentication, header: str | None) -> UnauthenticatedError:
    with pytest.raises(UnauthenticatedError) as caught:
        await manager.authenticate(header)
    return caught.value


ANONYMOUS = {**FULL, "a": {"authenticators": {"any": {"type": "anonymous"}}}}
