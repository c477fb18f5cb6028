"""The configuration of an FDB, or of another library of ECMWF: in the server's own, or in a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator

from polytope_server.datasource.fdb.check import read_schema
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.schema import Schema

logger = logging.getLogger(__name__)


def _check_schema(config: dict[str, Any] | Path) -> dict[str, Any] | Path:
    if isinstance(config, dict) and not isinstance(config.get("schema", ""), str):
        raise ValueError(
            "schema must be the path to a schema file; a schema in a git repository is not "
            "supported: check it out and give the path to the file"
        )
    return config


LibraryConfig = Annotated[dict[str, Any] | Path, AfterValidator(_check_schema)]
"""A key of a data source: the configuration of a library, or the path to a YAML file that holds it."""


def load_config(config: dict[str, Any] | Path) -> Mapping[str, Any]:
    """The configuration, from its file where it is in one. Raises ValueError, OSError, yaml.YAMLError."""
    if isinstance(config, dict):
        return config
    loaded = yaml.safe_load(config.read_text())
    if not isinstance(loaded, dict):
        raise ValueError(f"{config} does not hold the configuration of a library")
    _check_schema(loaded)
    return loaded


def find_schema(config: dict[str, Any] | Path | None, known: Tables | None) -> Schema | None:
    """The schema of an FDB, where this process can read it: a frontend needs neither it nor the FDB."""
    try:
        return read_schema(load_config(config or {}), known)
    except (OSError, ValueError, yaml.YAMLError) as error:
        logger.info("requests are not checked for the keys of the FDB's schema: %s", error)
        return None
