"""Authorizers on an OpenLDAP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from directory_users import Make, Odd

from polytope_server.authorization.ldap import LDAPAuthorizer, LDAPSettings
from testbed.services import LDAP


@pytest.fixture
def make(ldap: LDAP, tmp_path: Path, opened: Callable[..., Any]) -> Make:
    """Makes authorizers of a service, which are open: `await make(start_tls=True)`."""

    async def make(service: LDAP = ldap, **keys: Any) -> LDAPAuthorizer:
        given = {
            "url": service.url,
            "search_base": service.people,
            "ldap_user": service.reader,
            "ldap_password": service.password,
            **keys,
        }
        settings = LDAPSettings.model_validate(
            {key: value for key, value in given.items() if value is not None}
        )
        authorizer = LDAPAuthorizer("r", settings, tmp_path)
        return await opened(authorizer)

    return make


@pytest.fixture
def own(tmp_path: Path, ldap: LDAP) -> Iterator[LDAP]:
    """A server for one test, which may stop it."""
    with LDAP(tmp_path) as service:
        yield service


@pytest.fixture
def odd() -> Iterator[Callable[..., Odd]]:
    made: list[Odd] = []

    def make(pieces: list[bytes], pause: float = 0.0) -> Odd:
        made.append(Odd(pieces, pause))
        return made[-1]

    yield make
    for each in made:
        each.stop()
