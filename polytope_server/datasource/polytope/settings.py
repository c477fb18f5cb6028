"""The keys of the data source `polytope`, those of earlier servers included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from polytope_server.datasource import DataSourceSettings
from polytope_server.datasource.fdb import index
from polytope_server.datasource.fdb.configuration import (
    FDBConfigKey,
    LibraryConfig,
    load_config,
    read_fdb_config,
)
from polytope_server.datasource.fdb.instructions import IgnoredKeys
from polytope_server.features import FeatureLimits
from polytope_server.settings.section import part

_READ = "Other grids need none: they are read of the fields."
_IDLE = "Key of the earlier server; no effect."
_UNNEEDED = "Of polytope-mars: this server needs none."


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Datacube(_Part):
    """`datacube` of earlier servers."""

    type: Literal["gribjump"] = Field("gribjump", description="There is no other.")
    config: str | None = Field(None, description=_IDLE)
    uri: str | None = Field(None, description=_IDLE)


class PolygonRules(_Part):
    """`polygonrules`: limits of the published library."""

    max_points: int | None = Field(None, ge=1, description="The same as `limits.max_points`.")
    max_area: float | None = Field(None, gt=0, description="The same as `limits.max_area`.")


class CoverageConfig(_Part):
    """`coverageconfig`: keys of the published encoder."""

    param_db: str = Field("ecmwf", description="Names and units are those of ecCodes.")
    compression: None = Field(None, description="Not supported: results are CoverageJSON as it is.")


class Axis(_Part):
    """An item of `options.axis_config`."""

    axis_name: str = Field(description="The axis.")
    transformations: list[dict[str, Any]] = Field(
        default_factory=list, description="What becomes of its values, such as `name: mapper`."
    )


class Options(_Part):
    """`options`: what an operator of the published library tells it about the datacube."""

    axis_config: list[Axis] = Field(
        default_factory=list,
        description="Of it the `mapper` with the `md5_hash` of the fields says where the points of "
        f"unstructured grids are; this server needs nothing else of it. {_READ}",
    )
    compressed_axes_config: list[str] = Field(default_factory=list, description=_UNNEEDED)
    pre_path: list[str] | dict[str, Any] = Field(
        default_factory=list,
        description=_UNNEEDED,
    )
    alternative_axes: list[dict[str, Any]] = Field(default_factory=list, description=_UNNEEDED)
    use_catalogue: bool = Field(False, description=_UNNEEDED)
    engine_options: dict[str, str] = Field(default_factory=dict, description=_UNNEEDED)

    @property
    def mappers(self) -> list[dict[str, Any]]:
        """The grids that the configuration names."""
        changes = (change for axis in self.axis_config for change in axis.transformations)
        return [change for change in changes if change.get("name") == "mapper"]


class PolytopeSettings(DataSourceSettings):
    """Keys of the data source `polytope`."""

    gribjump_config: LibraryConfig = Field(
        description="GribJump's configuration, or the path to a YAML file that holds it."
    )
    fdb_config: FDBConfigKey | None = Field(
        None,
        description="The FDB's configuration, or the path to a YAML file that holds it; by default the one "
        "that the environment of the worker names.",
    )
    metkit: Path | None = Field(
        None, description="Folder with the tables of a metkit of your own, as for the data source `fdb`."
    )
    ignore: IgnoredKeys = Field(
        (),
        description="Keys of requests that are ignored, as for the data source `fdb`: the user reads so with "
        "each result.",
    )
    check_available: bool = Field(
        False,
        description="Whether a request that asks for fields that the archive does not have, or for too many "
        "values, is refused when it is submitted: the frontend asks a worker, see `frontend.question_wait`.",
    )
    limits: FeatureLimits = part(FeatureLimits, "How much one request may ask for.")
    coverage: Literal["published", "standard"] = Field(
        "published",
        description="Names and order of axes in results. `published`: as polytope-mars writes them, which "
        "covjsonkit and earthkit-data open. `standard`: as the CoverageJSON specification has them (x, y, z, "
        "t), which covjson-pydantic validates.",
    )
    datacube: Datacube = part(Datacube, "The kind of datacube: `type: gribjump`.")
    options: Options = part(Options, f"Axes of the datacube, as for polytope-mars. {_READ}")
    polygonrules: PolygonRules = part(PolygonRules, "Of earlier servers: the same as in `limits`.")
    coverageconfig: CoverageConfig = part(
        CoverageConfig, "Of earlier servers: keys of the published encoder."
    )
    dynamic_grid: bool = Field(False, description=f"{_IDLE} The grid is always read of the fields.")
    dynamic_grid_service_url: str | None = Field(None, description=_IDLE)
    gh68_fix_hashes: bool = Field(False, description=f"{_IDLE} Grids are read of the fields.")
    gh69_fix_grids: bool = Field(False, description=f"{_IDLE} Grids are read of the fields.")
    gh70_fix_step_ranges: bool = Field(False, description=f"{_IDLE} Ranges of steps are always understood.")
    separate_datetime: bool = Field(
        False, description=f"{_IDLE} Dates and times are apart where polytope-mars has them apart."
    )

    def warnings(self) -> Iterator[str]:
        try:
            jump, fdb = load_config(self.gribjump_config), read_fdb_config(self.fdb_config or {})
        except (OSError, ValueError, yaml.YAMLError):
            # Only a worker needs to read them.
            return
        beside = "cache" not in jump and jump.get("type", "local") == "local"
        if beside and index.lacks_index(fdb):
            yield (
                "the FDB has no index of GribJump, so the first extraction of each field reads its header; "
                "docs/operators/features.md says how to make it"
            )

    @field_validator("gribjump_config")
    @classmethod
    def _is_local_or_remote(cls, config: Any) -> Any:
        kind = config.get("type", "local") if isinstance(config, dict) else "local"
        if kind not in ("local", "remote"):
            raise ValueError(f"type {str(kind)[:50]!r} is none of GribJump's; expected local or remote")
        return config

    @model_validator(mode="after")
    def _join_limits(self) -> Self:
        given = self.polygonrules.model_dump(exclude_none=True)
        if given and not self.limits.model_fields_set & given.keys():
            object.__setattr__(self, "limits", self.limits.model_copy(update=given))
        return self
