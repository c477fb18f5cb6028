"""What the shared cache holds of users who were verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polytope_server.authentication.cache_entries import CacheEntries, Verification
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import CREDENTIALS, Seals
from polytope_server.settings.secrets import SecretsSettings
from polytope_server.user import User

ALICE = User("alice", "people", ("default", "admin"), {"team": "ops"}, until=5.0)


@pytest.fixture
def keys(tmp_path: Path) -> DeploymentKeys:
    return DeploymentKeys(SecretsSettings(), tmp_path)


@pytest.fixture
async def entries(keys: DeploymentKeys) -> CacheEntries:
    entries = CacheEntries(lambda: keys)
    await entries.open()
    return entries


@pytest.mark.parametrize(("until", "ends"), [(2.0, 2.0), (9.0, 5.0)])
def test_a_user_is_as_remembered_until_the_credentials_end(
    entries: CacheEntries, until: float, ends: float
) -> None:
    found = entries.unseal("key", entries.seal("key", Verification(ALICE, 1.0, until)))
    assert found == Verification(ALICE, 1.0, ends)
    assert found.user.attributes == ALICE.attributes


def test_an_entry_is_for_its_key(entries: CacheEntries) -> None:
    assert entries.unseal("other", entries.seal("key", Verification(ALICE, 1.0, 2.0))) is None


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Passphrase", "pwd", "ldap-pwd", "cookie", "session_cookie_2", "credentials"),
        *("ecmwf-apikey", "ssh_keys", "authorization", "x-signature", "access_token", "client-secret"),
    ],
)
async def test_a_secret_that_no_data_source_needs_is_not_kept(keys: DeploymentKeys, name: str) -> None:
    user = User("alice", "people", attributes={name: "hunter2", "team": "ops"})
    for needed, attributes in (([], {"team": "ops"}), ([name], user.attributes)):
        entries = CacheEntries(lambda: keys, needed)
        await entries.open()
        found = entries.unseal("key", entries.seal("key", Verification(user, 1.0, 2.0)))
        assert found is not None
        assert found.user.attributes == attributes


def test_nothing_in_an_entry_can_be_changed(entries: CacheEntries) -> None:
    entry = entries.seal("key", Verification(ALICE, 1.0, 2.0))
    for place in range(len("sealed.v1."), len(entry) - 4):  # what comes then may be padding
        changed = entry[:place] + ("A" if entry[place] != "A" else "B") + entry[place + 1 :]
        assert entries.unseal("key", changed) is None


def test_a_user_whom_a_later_version_remembered_is_known(entries: CacheEntries, keys: DeploymentKeys) -> None:
    document = {
        "username": "alice",
        "realm": "people",
        "roles": ["default", "admin"],
        "attributes": {"team": "ops"},
        "since": 1.0,
        "until": 2.0,
        "groups": ["a"],
    }
    later = Seals(keys, CREDENTIALS).seal({"user": json.dumps(document), "more": "x"}, "key")
    assert entries.unseal("key", later) == Verification(ALICE, 1.0, 2.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "bc"), ("ab", "c")), (("a\0b",), ("a", "b")), (('a", "b',), ("a", "b")), (("\ud800",), ("?",))],
)
def test_no_two_lists_of_names_have_one_digest(
    entries: CacheEntries, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert entries.digest(*one) != entries.digest(*other)
