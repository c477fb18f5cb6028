"""What the cache remembers of users who were verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polytope_server.authentication.remembered import Memory, Remembered
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import CREDENTIALS, Seals
from polytope_server.settings.secrets import SecretsSettings
from polytope_server.user import User

ALICE = User("alice", "people", ("default", "admin"), {"team": "ops"}, until=5.0)


@pytest.fixture
def keys(tmp_path: Path) -> DeploymentKeys:
    return DeploymentKeys(SecretsSettings(), tmp_path)


@pytest.fixture
def remembered(keys: DeploymentKeys) -> Remembered:
    return Remembered(keys, [])


@pytest.mark.parametrize(("until", "ends"), [(2.0, 2.0), (9.0, 5.0)])
def test_a_user_is_as_remembered_until_the_credentials_end(
    remembered: Remembered, until: float, ends: float
) -> None:
    found = remembered.memory("key", remembered.entry("key", Memory(ALICE, 1.0, until)))
    assert found == Memory(ALICE, 1.0, ends)
    assert found.user.attributes == ALICE.attributes


def test_an_entry_is_for_its_key(remembered: Remembered) -> None:
    assert remembered.memory("other", remembered.entry("key", Memory(ALICE, 1.0, 2.0))) is None


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Passphrase", "pwd", "ldap-pwd", "cookie", "session_cookie_2", "credentials"),
        *("ecmwf-apikey", "ssh_keys", "authorization", "x-signature", "access_token", "client-secret"),
    ],
)
def test_a_secret_that_no_data_source_needs_is_not_remembered(keys: DeploymentKeys, name: str) -> None:
    user = User("alice", "people", attributes={name: "hunter2", "team": "ops"})
    for needed, attributes in (([], {"team": "ops"}), ([name], user.attributes)):
        remembered = Remembered(keys, needed)
        found = remembered.memory("key", remembered.entry("key", Memory(user, 1.0, 2.0)))
        assert found is not None
        assert found.user.attributes == attributes


def test_nothing_in_an_entry_can_be_changed(remembered: Remembered) -> None:
    entry = remembered.entry("key", Memory(ALICE, 1.0, 2.0))
    for place in range(len("sealed.v1."), len(entry) - 4):  # what comes then may be padding
        changed = entry[:place] + ("A" if entry[place] != "A" else "B") + entry[place + 1 :]
        assert remembered.memory("key", changed) is None


def test_a_user_whom_a_later_version_remembered_is_known(
    remembered: Remembered, keys: DeploymentKeys
) -> None:
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
    assert remembered.memory("key", later) == Memory(ALICE, 1.0, 2.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "bc"), ("ab", "c")), (("a\0b",), ("a", "b")), (('a", "b',), ("a", "b")), (("\ud800",), ("?",))],
)
def test_no_two_lists_of_names_have_one_digest(
    remembered: Remembered, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert remembered.digest(*one) != remembered.digest(*other)
