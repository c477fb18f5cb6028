"""Credentials that were verified lately: a call with them asks no service, no store and no cache."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from credential_services import AuthOTron, Client, CredentialService, Keycloak, Person, WhoAmI, basic
from openid_provider import Account, OAuthClient, OpenIDProvider

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.sql_database import CredentialDatabase
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.manager import Authentication
from polytope_server.authorization.ldap import LDAPAuthorizer
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.drivers.sql import Row
from polytope_server.settings import backends
from polytope_server.settings.root import Settings
from polytope_server.user import User
from testbed.services import LDAP

KEY, TOKEN, SECRET = (secrets.token_hex(32) for _ in range(3))


class WatchedCache(MemoryCache):
    """Counts the looks into it."""

    looks = 0

    async def get(self, key: str) -> Any:
        self.looks += 1
        return await super().get(key)


@dataclass
class Work:
    """What is done for calls: by services, the database, the hashes of passwords and the cache."""

    services: list[CredentialService]
    cache: WatchedCache
    reads: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)

    def done(self) -> int:
        asked = sum(len(service.seen) for service in self.services)
        return asked + len(self.reads) + len(self.hashes) + self.cache.looks


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIDProvider]:
    clients = [OAuthClient("polytope"), OAuthClient("private", secret=SECRET)]
    with OpenIDProvider("our", clients, [Account("ola", "olas", ["staff"])]) as provider:
        yield provider


@pytest.fixture
def work(provider: OpenIDProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    claims = {"username": "otto", "realm": "far", "roles": ["guest"], "attributes": {}}
    with (
        WhoAmI({KEY: {"uid": "emil", "email": "emil@example.org"}}) as who_am_i,
        AuthOTron(SECRET, {f"Bearer {TOKEN}": claims}) as auth_o_tron,
        Keycloak("k", Client("polytope", SECRET), [Person("kim", "kims")]) as keycloak,
    ):
        cache = WatchedCache(MemoryCacheSettings(), tmp_path)
        work = Work([who_am_i, auth_o_tron, keycloak, provider], cache)
        read, verify = CredentialDatabase.read, Passwords.verify

        async def watched_read(self: CredentialDatabase, sql: str, parameters: Any) -> list[Row]:
            work.reads.append(sql)
            return await read(self, sql, parameters)

        async def watched_verify(self: Passwords, stored: str | None, password: str) -> bool:
            work.hashes.append("")
            return await verify(self, stored, password)

        monkeypatch.setattr(CredentialDatabase, "read", watched_read)
        monkeypatch.setattr(Passwords, "verify", watched_verify)
        yield work


@pytest.fixture
async def manager(work: Work, ldap: LDAP, tmp_path: Path) -> AsyncIterator[Authentication]:
    """Every scheme, and users, keys and roles in a database and in a directory."""
    who_am_i, auth_o_tron, keycloak, provider = work.services
    assert isinstance(provider, OpenIDProvider)
    tokens = {"cert_url": provider.cert_url}
    directory = {
        "type": "ldap",
        "url": ldap.url,
        "search_base": ldap.people,
        "ldap_user": ldap.reader,
        "ldap_password": ldap.password,
    }
    realms: dict[str, Any] = {
        "own": {"authenticators": {"a": {"type": "sql"}}, "authorizers": {"a": {"type": "sql"}}},
        "directory": {
            "authenticators": {
                "a": {"type": "plain", "clear_text": True, "users": [{"uid": "alice", "password": "alices"}]}
            },
            "authorizers": {"a": directory},
        },
        "mail": {"authenticators": {"a": {"type": "ecmwfapi", "url": who_am_i.url}}},
        "cloak": {
            "authenticators": {
                "a": {
                    "type": "keycloak",
                    "url": keycloak.url,
                    "client_id": "polytope",
                    "client_secret": SECRET,
                    "keycloak_realm": "k",
                }
            }
        },
        "tokens": {
            "authenticators": {
                "access": {"type": "jwt", "client_id": "polytope", "issuer": provider.issuer, **tokens},
                "offline": {
                    "type": "openid_offline_access",
                    "iam_url": provider.url,
                    "iam_realm": provider.realm,
                    "public_client_id": "polytope",
                    "private_client_id": "private",
                    "private_client_secret": SECRET,
                    "jwt_iss": provider.issuer,
                    "jwt_aud": "polytope",
                    **tokens,
                },
            }
        },
    }
    settings = Settings.model_validate(
        {
            "authentication": {"auth-o-tron": {"url": auth_o_tron.url, "secret": SECRET}, **realms},
            "federation": {"peer": {"secret": SECRET, "allowed-realms": ["own"]}},
            "api-keys": {"authenticator": {"type": "sql"}},
        }
    )
    manager = create_authentication(settings, tmp_path, work.cache)
    await manager.open()
    yield manager
    await manager.close()


@pytest.fixture
async def right(provider: OpenIDProvider, manager: Authentication, tmp_path: Path) -> dict[str, str]:
    """Right credentials by the name of the user."""
    identity = backends.load("identity", "sql")
    keeper = identity(identity.Settings.model_validate({"realm": "own"}), tmp_path)
    keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["own"]), tmp_path)
    await keeper.open()
    await keys.open()
    await keeper.add_user("sara", "saras", ["reader"])
    key = (await keys.create(User("keith", "own"))).key
    await keys.close()
    await keeper.close()
    granted = {
        scope: provider.grant("polytope", "ola", "olas", scope) for scope in ("openid", "offline_access")
    }
    return {
        "sara of own": f"Basic {basic('sara', 'saras')}",
        "alice of directory": f"Basic {basic('alice', 'alices')}",
        "emil of mail": f"EmailKey emil@example.org:{KEY}",
        "kim of cloak": f"Basic {basic('kim', 'kims')}",
        "ola of tokens": f"Bearer {granted['openid']['access_token']}",
        "ola  of tokens": f"Bearer {granted['offline_access']['refresh_token']}",
        "otto of far": f"Bearer {TOKEN}",
        "fred of own": f"Federation {SECRET}:fred:own",
        "keith of own": f"Bearer {key}",
    }


async def test_they_cost_nothing(work: Work, manager: Authentication, right: dict[str, str]) -> None:
    # Wrong ones before the right one, which would be tried again.
    headers = {
        f"{junk}{header}": name.replace("  ", " ")
        for name, header in right.items()
        for junk in ("", f"Bearer {secrets.token_hex(8)}, ")
    }
    first = {}
    for header, name in headers.items():
        before = work.done()
        first[header] = await manager.authenticate(header)
        user = first[header].user
        assert f"{user.username} of {user.realm}" == name
        assert work.done() > before, name
    spent = work.done()
    for _ in range(3):
        for header, found in first.items():
            assert await manager.authenticate(header) is found
    assert work.done() == spent


async def test_an_authorizer_is_asked_no_more_either(
    manager: Authentication, right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await manager.authenticate(right["alice of directory"])
    assert set(found.user.roles) >= {"staff", "forecasters"}

    async def fail(self: LDAPAuthorizer, user: User) -> tuple[list[str], dict[str, str]]:
        raise AuthenticationUnavailableError("it is asked again")

    monkeypatch.setattr(LDAPAuthorizer, "roles", fail)
    assert await manager.authenticate(right["alice of directory"]) is found
