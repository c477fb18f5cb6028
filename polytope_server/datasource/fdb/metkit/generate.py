"""Writes `tables.json` from the tables of the installed metkit: `make metkit-tables`."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polytope_server.datasource.fdb.metkit.reading import read_tables

_PACKAGE = "metkitlib"
_TARGET = Path(__file__).with_name("tables.json")


def find_installed() -> Path:
    """The folder with the tables of the installed metkit."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{_PACKAGE} is not installed: pip install '.[fdb]'")
    return Path(spec.origin).parent / "share/metkit"


def main() -> None:
    """Write the tables, one parameter a line."""
    tables = {"metkit": version(_PACKAGE), **read_tables(find_installed())}
    parts = [
        f"{json.dumps(name)}: {_lines(part) if isinstance(part, dict) else json.dumps(part)}"
        for name, part in tables.items()
    ]
    _TARGET.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _lines(part: dict[str, Any]) -> str:
    return (
        "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in part.items()) + "\n}"
    )


if __name__ == "__main__":
    main()
