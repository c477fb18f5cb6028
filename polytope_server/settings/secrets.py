"""The section `secrets`: what the machines of a deployment share, and no one else may know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from polytope_server.settings.section import Section

SHORTEST_KEY = 32


def _long_enough(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < SHORTEST_KEY:
        raise ValueError(f"expected at least {SHORTEST_KEY} random characters")
    return key


class SecretsSettings(Section):
    """`secrets`: needed where frontends and workers run on several machines."""

    model_config = ConfigDict(hide_input_in_errors=True)

    keys: list[Annotated[SecretStr, AfterValidator(_long_enough)]] = Field(
        default_factory=list,
        description="Keys that all frontends and workers share, of at least 32 random characters each: the "
        "first seals secrets of users for the workers; the others open what they sealed, until those "
        "requests have ended. On one machine a key is made, in the data folder.",
    )
    file: Path | None = Field(None, description="Instead of `keys`: a file with such keys, one a line.")

    @model_validator(mode="after")
    def _one_place(self) -> SecretsSettings:
        if self.keys and self.file is not None:
            raise ValueError("give either `keys` or `file`")
        return self

    @property
    def given(self) -> bool:
        """Whether the configuration names keys."""
        return bool(self.keys) or self.file is not None


def are_shared(secrets: SecretsSettings, queue: Mapping[str, Any]) -> bool:
    """Whether a worker can open what a frontend seals: both have the same keys.

    The `local` queue ties them to one data folder, and so to its key; with any other they may be on several
    machines.
    """
    return secrets.given or "local" in queue
