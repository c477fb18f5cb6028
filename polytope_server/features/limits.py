"""How much one feature may ask for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FeatureLimits(BaseModel):
    """Limits of a data source that serves features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_points: int = Field(
        10_000, ge=1, description="The most points that a feature may have; those of rings count."
    )
    max_area: float | None = Field(
        None, gt=0, description="The largest area in square kilometres that a feature may cover."
    )
    max_fields: int = Field(200_000, ge=1, description="The most fields that one request may describe.")
    max_values: int = Field(
        100_000_000, ge=1, description="The most values, of all points of all fields, of one request."
    )


DEFAULT_LIMITS = FeatureLimits.model_validate({})
"""The limits by default."""
