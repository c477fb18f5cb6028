"""Writes `tables.json` of the installed MIR: `make mir-tables`."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = "mirlib"
_TARGET = Path(__file__).with_name("tables.json")
_VECTOR = "vector-space.2d-vector-{}"


def find_installed() -> Path:
    """The folder with the tables of the installed MIR."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{_PACKAGE} is not installed: pip install '.[mir]'")
    return Path(spec.origin).parent / "etc/mir"


def read_tables(folder: Path) -> dict[str, Any]:
    """Areas that have names (north, west, south, east), and the parameters that are vectors' components.

    MIR lists the first components and the second ones. Which belong together shows in their numbers: they
    are neighbours. Raises OSError, ValueError.
    """
    areas = yaml.safe_load((folder / "area.yaml").read_text())
    classes = yaml.safe_load((folder / "parameter-class.yaml").read_text())
    first, second = (sorted(classes[_VECTOR.format(name)]) for name in ("u", "v"))
    pairs = list(zip(first, second, strict=True))
    if strange := [pair for pair in pairs if abs(pair[0] - pair[1]) != 1]:
        raise ValueError(f"these are no pairs: {strange}")
    return {"areas": areas, "vectors": pairs}


def main() -> None:
    """Write the tables, one area or pair a line."""
    found = read_tables(find_installed())
    areas = [f"{json.dumps(name)}: {json.dumps(edges)}" for name, edges in found["areas"].items()]
    parts = {"areas": _lines("{", areas, "}"), "vectors": _lines("[", map(json.dumps, found["vectors"]), "]")}
    texts = [f'"mir": "{version(_PACKAGE)}"', *(f'"{name}": {part}' for name, part in parts.items())]
    _TARGET.write_text("{\n" + ",\n".join(texts) + "\n}\n")


def _lines(start: str, items: Any, end: str) -> str:
    return f"{start}\n" + ",\n".join(items) + f"\n{end}"


if __name__ == "__main__":
    main()
