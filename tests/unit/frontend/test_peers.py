"""What a server that acts for its users (`federation`) may do with their accounts: look at keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import falcon.inspect
import pytest

from polytope_server.config import Configuration
from polytope_server.frontend.composition import compose
from polytope_server.frontend.v1.routes import make_falcon
from polytope_server.runtime.management.server import Management
from polytope_server.user import User
from testbed.frontend import Frontend, frontend
from testbed.server import CONFIG

PREFIX = "/api/v1"
SECRET = "shared-between-two-servers"
PEER = f"Federation {SECRET}:alice:test"
#: The only route below /auth that reads the user for whom the server acts, and no other.
READS_ONESELF = ("GET", "/auth/keys")


def routes() -> list[tuple[str, str]]:
    """Every method and path of the application below /auth."""
    services = compose(Configuration(), Path("/nowhere"))
    app = make_falcon(services, Management(None, services.health, services.metrics, lambda: False))
    return [
        (method.method, route.path.removeprefix(PREFIX))
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if route.path.startswith(f"{PREFIX}/auth") and not method.internal
    ]


ROUTES = routes()


@pytest.fixture
async def peered(tmp_path: Path) -> AsyncIterator[Frontend]:
    """A frontend with users and keys, a peer, and alice as an administrator."""
    authentication = CONFIG["authentication"]["test"] | {
        "authorizers": {"admins": {"type": "plain", "roles": {"admin": ["alice"]}}}
    }
    sections: dict[str, Any] = {
        "authentication": {"test": authentication},
        "identity": {"sql": {"realm": "people"}},
        "api-keys": {
            "generator": {"type": "sql", "allowed_realms": ["test", "people"]},
            "authenticator": {"type": "sql"},
        },
        "federation": {"peer": {"secret": SECRET, "allowed-realms": "any"}},
        "admin": {"roles": {"test": ["admin"]}},
    }
    async with frontend(tmp_path, sections) as one:
        yield one


def test_the_routes_are_found() -> None:
    assert {READS_ONESELF, ("POST", "/auth/keys"), ("PATCH", "/auth/users"), ("POST", "/auth/password")} <= {
        *ROUTES
    }


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_a_peer_only_reads_its_user(peered: Frontend, route: tuple[str, str]) -> None:
    body = {
        "username": "mallory",
        "password": "password of mallory",
        "role": "admin",
        "roles": ["admin"],
        "current_password": "alice's password",
        "new_password": "password of mallory",
    }
    answer = await peered.call(*route, body, authorization=PEER)
    assert answer.status == (200 if route == READS_ONESELF else 403)
    users = (await peered.call("GET", "/auth/users", user="alice")).body["message"]
    keys = (await peered.call("GET", "/auth/keys", user="alice")).body["message"]
    assert (users, keys) == ([], [])


async def test_the_user_may_do_so_beside_the_peer(peered: Frontend) -> None:
    assert (await peered.call("GET", "/collections", authorization=PEER)).status == 200
    key = (await peered.call("POST", "/auth/keys", {})).body["key"]
    listed = (await peered.call("GET", "/auth/keys", authorization=PEER)).body["message"]
    assert [one["prefix"] for one in listed] == [key[:8]]


async def expiries(one: Frontend, authorization: str | None) -> tuple[str, str]:
    """A new key, made with these credentials, and when it ends."""
    body = (await one.call("POST", "/auth/keys", {}, authorization=authorization)).body
    return body["key"], body["expires"]


async def test_a_key_does_not_renew_itself_where_its_user_is_kept_elsewhere(peered: Frontend) -> None:
    key, first = await expiries(peered, None)
    _, second = await expiries(peered, f"Bearer {key}")
    assert second < first


async def test_a_key_renews_itself_where_this_server_keeps_its_user(peered: Frontend) -> None:
    keys = peered.services.api_keys
    assert keys is not None
    keys.own_realm = "test"
    key, first = await expiries(peered, None)
    _, second = await expiries(peered, f"Bearer {key}")
    assert second >= first


async def test_another_credential_beside_the_secret_lifts_nothing(peered: Frontend) -> None:
    answer = await peered.call(
        "POST", "/auth/keys", {}, authorization=f"Bearer wrong, federation {PEER[11:]}"
    )
    assert answer.status == 403


async def test_a_new_user_has_none_of_the_keys_of_an_earlier_one(peered: Frontend) -> None:
    identity, keys = peered.services.identity, peered.services.api_keys
    assert identity is not None
    assert keys is not None
    heidi = User("heidi", "people")
    new = {"username": "heidi", "password": "of heidi", "role": "scientist"}
    assert (await peered.call("POST", "/auth/users", new)).status == 200
    await keys.create(heidi)
    # Without the server's own way, which ends the keys.
    await identity.remove_user("heidi")
    assert (await peered.call("POST", "/auth/users", new)).status == 200
    assert await keys.list_keys(heidi) == []


async def test_a_user_who_is_there_already_keeps_the_keys(peered: Frontend) -> None:
    keys = peered.services.api_keys
    assert keys is not None
    new = {"username": "heidi", "password": "of heidi", "role": "scientist"}
    assert (await peered.call("POST", "/auth/users", new)).status == 200
    await keys.create(User("heidi", "people"))
    assert (await peered.call("POST", "/auth/users", new)).status == 409
    assert len(await keys.list_keys(User("heidi", "people"))) == 1
