"""The sections for monitoring: `management` of each process, and `metrics`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from polytope_server.settings.addresses import Host
from polytope_server.settings.section import Section
from polytope_server.settings.values import Port


class ManagementSettings(Section):
    """`management`: liveness, readiness and metrics of a process, on a port of their own."""

    host: Host | None = Field(
        None,
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


def _growing(buckets: list[float]) -> list[float]:
    if not all(low < high for low, high in pairwise([0.0, *buckets])):
        raise ValueError("expected upper limits in seconds, above 0, each larger than the one before")
    return buckets


_Buckets = Annotated[list[float], Field(min_length=1, max_length=100), AfterValidator(_growing)]
#: Seconds. Small results take milliseconds, and archives hours.
_DEFAULT_BUCKETS = [
    *(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 900.0, 3600.0),
]


class MetricsSettings(Section):
    """`metrics`: buckets of the histograms for Prometheus."""

    request_duration_buckets: _Buckets = Field(
        default_factory=lambda: list(_DEFAULT_BUCKETS),
        description="Upper limits in seconds of the buckets of `polytope_request_duration_seconds`.",
    )
    processing_duration_buckets: _Buckets = Field(
        default_factory=lambda: list(_DEFAULT_BUCKETS),
        description="The same of `polytope_processing_duration_seconds`.",
    )
    prefix: str = Field("polytope", description="Key of the earlier server; no effect.")
    product_labels: list[str] = Field(
        default_factory=list, description="Key of the earlier server; no effect."
    )
    canonical_label_order: list[str] = Field(
        default_factory=list, description="Key of the earlier server; no effect."
    )
