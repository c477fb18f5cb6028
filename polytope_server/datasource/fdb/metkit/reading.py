"""Reads the tables of a metkit: its YAML files.

metkit is ECMWF's (Apache License 2.0), and so are its tables. What is taken: the numbers and short names of
parameters, and of keys, whatever the other keys of a request say: the values of those that are enumerated,
and which take numbers, or one value only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

#: metkit knows no parameter by a longer name.
LONGEST_NAME = 19
#: What no value of a request may contain.
_SEPARATOR = re.compile(r"""[/,="'#!\\]""")
_INTEGERS = ("integer", "to-by-list")
_NAME = re.compile("[A-Za-z0-9_]+")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_tables(folder: Path) -> dict[str, Any]:
    """The tables of the metkit whose `share/metkit` this is, as plain data.

    Raises OSError, and ValueError for files that are not metkit's.
    """
    try:
        fields, params = _read(folder, "language")["_field"], _read(folder, "paramids")
        data = {key: field for key, field in fields.items() if field.get("category") == "data"}
        return {
            "single": sorted(key for key, field in data.items() if not field.get("multiple")),
            "numbered": sorted(key for key, field in data.items() if _takes_numbers(field)),
            "integers": sorted(key for key, field in data.items() if field["type"] in _INTEGERS),
            "decimals": sorted(key for key, field in data.items() if field["type"] == "to-by-list-float"),
            "params": {str(number): _names(found) for number, found in params.items()},
            "values": {key: _values(folder, field) for key, field in data.items() if _is_enumerated(field)},
        }
    except (yaml.YAMLError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{folder} does not hold the tables of a metkit: {error!r}") from error


def _read(folder: Path, name: str) -> Any:
    return yaml.load((folder / f"{name}.yaml").read_text(), _LOADER)  # noqa: S506


def _names(found: list[Any]) -> list[str]:
    """The short name of a parameter, and its other names, without the long one."""
    names = [str(found[0]), *map(str, found[2:])]
    return [name for name in names if _NAME.fullmatch(name) and len(name) <= LONGEST_NAME]


def _is_enumerated(field: dict[str, Any]) -> bool:
    return "values" in field and "enum" in field["type"]


def _takes_numbers(field: dict[str, Any]) -> bool:
    return _is_enumerated(field) and "integer" in field["type"]


def _values(folder: Path, field: dict[str, Any]) -> list[list[str]]:
    """Each value, with the other names that it has; they may be in a file of their own."""
    values = field["values"]
    if isinstance(values, str):
        values = _read(folder, values.removesuffix(".yaml"))
    alike = [found if isinstance(found, list) else [found] for found in values]
    return [[str(name) for name in names if not _SEPARATOR.search(str(name))] for names in alike]
