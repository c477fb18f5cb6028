"""The configuration of a standalone server without files: something to try at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from polytope_server.runtime.data_folder import kept_password, write_private

REALM, USER = "local", "polytope"


def prepare(data: Path) -> Path:
    """Write the configuration into the data folder; returns its file. The password is random, and kept."""
    password = kept_password(data / "password")
    file = data / "standalone.yaml"
    write_private(file, yaml.safe_dump(configuration(password), sort_keys=False))
    return file


def configuration(password: str) -> dict[str, Any]:
    """One user, and two collections that need no data."""
    # The password is random, and only the account of the server can read the file.
    users = {"type": "plain", "clear_text": True, "users": [{"uid": USER, "password": password}]}
    return {
        "logging": {"mode": "prettyprint"},
        "authentication": {REALM: {"authenticators": {"users": users}}},
        "datasources": {"echo": {"type": "echo"}, "dummy": {"type": "dummy"}},
        "collections": {
            name: {"roles": {REALM: ["default"]}, "datasources": [name]} for name in ("echo", "dummy")
        },
    }
