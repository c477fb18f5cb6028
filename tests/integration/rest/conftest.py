"""Further servers for the tests of REST API v1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answers import Callers
from caller import Caller

from testbed.server import StandaloneServer


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with a public address, short limits, and submissions that wait for early failures."""
    config = {
        "frontend": {
            "public_url": "https://polytope.example.org/p/",
            "submit_wait": 120,
            "max_body": 1000,
            "max_upload": "1K",
        }
    }
    with StandaloneServer(tmp_path_factory.mktemp("public") / "data", config) as server:
        yield server


@pytest.fixture(scope="session")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with identities, API keys, an anonymous user and a trusted proxy."""
    users = [{"uid": name, "password": f"{name}'s password"} for name in ("alice", "bob", "root")]
    users.append({"uid": "colon", "password": "pass:wörd, with comma"})
    config = {
        "frontend": {"proxy_support": True},
        "authentication": {
            "test": {
                "authenticators": {"plain": {"type": "plain", "clear_text": True, "users": users}},
                "authorizers": {"admins": {"type": "plain", "roles": {"admin": ["root"]}}},
            },
            "people": {
                "authenticators": {"accounts": {"type": "sql"}},
                "authorizers": {"roles": {"type": "sql"}},
            },
            "guests": {"authenticators": {"anyone": {"type": "anonymous"}}, "authorizers": {}},
        },
        "identity": {"sql": {"realm": "people"}},
        "api-keys": {"generator": {"type": "sql", "allowed_realms": ["test", "people"]},
                     "authenticator": {"type": "sql"}},
        "federation": {"peer": {"secret": "shared-between-two-servers"}},
        "admin": {"roles": {"test": ["admin"]}},
        "datasources": {"echo": {"type": "echo"}},
        "collections": {
            "echo": {"roles": {"test": "default", "people": "scientist"}, "datasources": ["echo"]},
            "open": {"roles": {"guests": "default", "test": "default"}, "datasources": ["echo"]},
            "held": {"roles": {"test": "default"}, "datasources": ["echo"], "limits": {"total": 0}},
            "nobody": {"datasources": ["echo"]},
        },
    }  # fmt: skip
    with StandaloneServer(tmp_path_factory.mktemp("extras") / "data", config) as server:
        yield server


@pytest.fixture
def at_extras(extras: StandaloneServer, caller_of: type[Caller]) -> Callers:
    return lambda user="alice", **headers: caller_of(extras, user, **headers)
