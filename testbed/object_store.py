"""The object store process for tests and benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from polytope_server.staging.polytope import PolytopeStagingSettings
from testbed.services.service import Service

TOKEN = "the-token-of-the-tests"


class ObjectStore(Service):
    """`polytope-server object-store` with a data folder of its own."""

    name = "object-store"

    def __init__(self, folder: Path, **keys: Any) -> None:
        """`keys` are further ones of `staging.polytope`."""
        super().__init__(folder)
        self.root = self.folder / "data" / "staging"
        self.url = f"http://{self.host}:{self.port}"
        self.keys: Mapping[str, Any] = {"host": self.host, "port": self.port, "token": TOKEN, **keys}
        config = {"logging": {"mode": "console", "level": "INFO"}, "staging": {"polytope": dict(self.keys)}}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    @property
    def variables(self) -> dict[str, str]:
        return {"STAGING_HOST": self.host, "STAGING_PORT": str(self.port), "STAGING_TOKEN": TOKEN}

    @property
    def settings(self) -> PolytopeStagingSettings:
        """What a client needs to know."""
        return PolytopeStagingSettings.model_validate(self.keys)

    def command(self) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "polytope_server.object_store"),
            *("-f", str(self.folder / "config.yaml"), "--data", str(self.folder / "data")),
        ]

    def ready(self) -> bool:
        return requests.get(f"{self.url}/health", timeout=5).status_code == 200
