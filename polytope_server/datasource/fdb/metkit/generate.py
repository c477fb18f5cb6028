"""Writes `tables.json` from the tables of the installed metkit: `make metkit-tables`.

metkit is ECMWF's (Apache License 2.0), and so are its tables. What is taken: the numbers and short names of
parameters, and of keys, whatever the other keys of a request say: the values of those that are enumerated,
and which take numbers, or one value only.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = "metkitlib"
_TARGET = Path(__file__).with_name("tables.json")
#: metkit knows no parameter by a longer name.
_LONGEST_NAME = 19
#: What no value of a request may contain.
_SEPARATOR = re.compile(r"""[/,="'#!\\]""")
_NAME = re.compile("[A-Za-z0-9_]+")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_tables() -> dict[str, Any]:
    """The tables, as plain data."""
    fields = _read("language")["_field"]
    return {
        "metkit": version(_PACKAGE),
        "single": sorted(key for key, field in fields.items() if _takes_one_value(field)),
        "numbered": sorted(key for key, field in fields.items() if _takes_numbers(field)),
        "integers": sorted(key for key, field in fields.items() if _is_of(field, "integer", "to-by-list")),
        "decimals": sorted(key for key, field in fields.items() if _is_of(field, "to-by-list-float")),
        "params": {str(number): _names(found) for number, found in _read("paramids").items()},
        "values": {key: _values(field) for key, field in fields.items() if _is_enumerated(field)},
    }


def path_of(name: str) -> Path:
    """The file of one of metkit's tables."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{_PACKAGE} is not installed: pip install '.[fdb]'")
    return Path(spec.origin).parent / f"share/metkit/{name}.yaml"


def _read(name: str) -> Any:
    return yaml.load(path_of(name).read_text(), _LOADER)  # noqa: S506


def _names(found: list[Any]) -> list[str]:
    """The short name of a parameter, and its other names, without the long one."""
    names = [str(found[0]), *map(str, found[2:])]
    return [name for name in names if _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME]


def _is_enumerated(field: dict[str, Any]) -> bool:
    return field.get("category") == "data" and "values" in field and "enum" in field["type"]


def _is_of(field: dict[str, Any], *kinds: str) -> bool:
    return field.get("category") == "data" and field["type"] in kinds


def _takes_numbers(field: dict[str, Any]) -> bool:
    return _is_enumerated(field) and "integer" in field["type"]


def _takes_one_value(field: dict[str, Any]) -> bool:
    return field.get("category") == "data" and not field.get("multiple")


def _values(field: dict[str, Any]) -> list[list[str]]:
    """Each value, with the other names that it has; they may be in a file of their own."""
    values = field["values"]
    if isinstance(values, str):
        values = _read(values.removesuffix(".yaml"))
    alike = [found if isinstance(found, list) else [found] for found in values]
    return [[str(name) for name in names if not _SEPARATOR.search(str(name))] for names in alike]


def main() -> None:
    """Write the tables, one parameter a line."""
    tables = read_tables()
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
