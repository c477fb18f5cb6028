"""What the cache remembers, across versions of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytope_server.authentication.remembered import Remembered
from polytope_server.config.secrets import SecretsSettings
from polytope_server.deployment_key import DeploymentKeys
from polytope_server.user import User


def test_a_user_whom_a_later_version_remembered_is_known(tmp_path: Path) -> None:
    remembered = Remembered(DeploymentKeys(SecretsSettings(), tmp_path), [])
    alice = User("alice", "people", ("default", "admin"), {"team": "ops"})
    document: Any = remembered.document("key", alice, 1.0, 2.0)
    found = remembered.user("key", {**document, "groups": ["a"], "version": 2})
    assert found == alice
    assert found.attributes == alice.attributes
