"""What the MARS client finds in its environment, and in the folder that is its home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from polytope_server.redaction import may_be_secret

#: Variables of MARS and the libraries below it; they are passed on whatever their names.
_OF_MARS = ("MARS_", "ECMWF_", "FDB", "ECKIT_", "METKIT_", "ECCODES_", "MIR_", "ODB_")


def inherited(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables of this process for the client, without what are, by their names, secrets of this server."""
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(_OF_MARS) or not may_be_secret(name)
    }


def written(config: Any) -> str:
    """A configuration as the client reads it."""
    return yaml.safe_dump(config, sort_keys=False)


def write_home(folder: Path, databases: Any, fdb: Mapping[str, Any] | None) -> Path:
    """Write the databases that the client knows, where it looks for them; returns its home.

    The configuration of an FDB is written, too, and the first database says where.
    """
    home, fdb_home = folder / "mars-home", folder / "fdb-home"
    if fdb is not None and isinstance(databases, list) and databases:
        databases = [{"home": str(fdb_home), **databases[0]}, *databases[1:]]
        _write(fdb_home / "etc" / "fdb" / "config.yaml", fdb)
    _write(home / "etc" / "mars-client" / "databases.yaml", databases)
    return home


def _write(path: Path, config: Any) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(written(config))
