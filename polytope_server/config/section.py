"""What all sections of the configuration have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A section of the configuration. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, keys: Any) -> Any:
        if not isinstance(keys, dict):
            return keys
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values())}
        return {key: value for key, value in keys.items() if value is not None or key not in known}


def part(default: type[BaseModel] | Callable[[], Any], description: str, alias: str | None = None) -> Any:
    """A key whose default is made anew for each section."""
    # Typed as Any: mypy does not find the type of pydantic's own `default_factory`.
    return Field(default_factory=default, description=description, alias=alias)
