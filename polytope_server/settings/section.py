"""What all sections of the configuration have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polytope_server.redaction import is_secret
from polytope_server.settings.masking import mask_value


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

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Keys and values, secrets masked: sections of back-ends are mappings here, as they were written."""
        for name, value in super().__repr_args__():
            yield name, mask_value(value, is_secret(name))


def part(default: type[BaseModel] | Callable[[], Any], description: str, alias: str | None = None) -> Any:
    """A key whose default is made for each section."""
    # Typed as Any: mypy does not find the type of pydantic's own `default_factory`.
    return Field(default_factory=default, description=description, alias=alias)
