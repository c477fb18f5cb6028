"""The section `management` of each process: where it tells how it is."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from polytope_server.config.section import Section
from polytope_server.config.values import Port


class ManagementSettings(Section):
    """`management`: liveness, readiness and metrics of a process, on a port of their own."""

    host: str | None = Field(
        None,
        min_length=1,
        description="Host name or address to listen on; by default `127.0.0.1`, or every address where the "
        "environment sets `POLYTOPE_MANAGEMENT_PORT`.",
    )
    port: Port | None = Field(
        None,
        description="Port to listen on; `0` or null for none. By default what `POLYTOPE_MANAGEMENT_PORT` in "
        "the environment says, else none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, keys: Any) -> Any:
        """As for every section, but `port: null` says that there is no port, whatever the environment."""
        if isinstance(keys, dict) and "port" in keys and keys["port"] is None:
            keys = {**keys, "port": 0}
        return super()._null_is_absent(keys)  # type: ignore[operator]
