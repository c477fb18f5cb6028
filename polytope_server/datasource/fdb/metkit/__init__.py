"""What metkit, which reads requests for the FDB, knows: parameters, and the values of enumerated keys.

As plain data (`tables.json`), so that the frontend needs no library of the FDB. The tables are those of the
metkit that the extra `fdb` installs; a test compares them. A centre may have a metkit of its own.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from polytope_server.datasource.fdb.metkit.reading import LONGEST_NAME, read_tables

_NUMBER = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
#: The table of GRIB edition 1 whose parameters are written without it.
_DEFAULT_TABLE = 128
#: Numbers of a table. metkit finds the table of a number below it by the other keys.
_TABLE_SIZE = 1000
#: What names of parameters consist of, in small letters.
_LETTERS = string.ascii_lowercase + string.digits + "_"
#: As xarray calls parameters: t2m, u10.
_LETTERS_FIRST = re.compile("([a-z]+)([0-9]+)m?")


@dataclass(frozen=True)
class Tables:
    """The tables, in small letters.

    `names` are those of parameters, with their numbers; `values` the enumerated values of keys, each name of
    one with its first name. `single` are keys that take one value only, `numbered` those with enumerated
    values that take whole numbers as well; `integers` and `decimals` take nothing but numbers.
    """

    numbers: frozenset[int]
    names: Mapping[str, int]
    values: Mapping[str, Mapping[str, str]]
    single: frozenset[str]
    numbered: frozenset[str]
    integers: frozenset[str]
    decimals: frozenset[str]

    def knows_param(self, text: str) -> bool:
        """Whether a text names a parameter: by a short name, a number, or a number and its table."""
        written = _NUMBER.fullmatch(text)
        if not written:
            return text.lower() in self.names
        number, table = int(written[1]), int(written[2] or 0)
        if not table and number < _TABLE_SIZE:
            return number in self._short_numbers
        return number + (0 if table == _DEFAULT_TABLE else table * _TABLE_SIZE) in self.numbers

    @property
    def _short_numbers(self) -> frozenset[int]:
        return _last_digits(self.numbers)

    def name_of(self, number: str) -> str | None:
        """The short name of the parameter with a number."""
        return next((name for name, known in self.names.items() if str(known) == number), None)

    def near_param(self, text: str) -> str | None:
        """The parameter that a text probably means."""
        text = text.lower()
        if written := _NUMBER.fullmatch(text):
            return self._near_number(written[1], written[2] or "")
        if (swapped := _LETTERS_FIRST.fullmatch(text)) and (name := swapped[2] + swapped[1]) in self.names:
            return name
        alike = [name for name in _slips(text) if name in self.names]
        # Of names that are equally near those of the first table are meant, which everybody uses.
        return min(alike, key=lambda name: self.names[name] >= _TABLE_SIZE, default=None)

    def _near_number(self, number: str, table: str) -> str | None:
        """The same number in the table that lost its zeros, as a JSON number does: 130.2 was 130.200."""
        tables = [table.ljust(3, "0")] if table else []
        return next((f"{number}.{one}" for one in tables if self.knows_param(f"{number}.{one}")), None)

    def knows_value(self, key: str, value: str) -> bool:
        """Whether an enumerated key has a value of that name."""
        return value.lower() in self.values[key] or (key in self.numbered and value.isdigit())

    def canonical(self, key: str, value: str) -> str:
        """The first name of an enumerated value, the value itself in small letters otherwise."""
        return self.values.get(key, {}).get(value.lower(), value.lower())

    def spelling(self, key: str, value: str) -> str:
        """One text for all by which metkit knows a parameter or an enumerated value; others as they are.

        A name of several parameters counts as the first of them, as long as metkit finds no other one by the
        other keys.
        """
        if key == "param":
            return self._number_of(value.lower())
        return self.canonical(key, value) if key in self.values else value

    def _number_of(self, param: str) -> str:
        """The number of a parameter, as far as it can be known without other keys; else the text itself."""
        return written_number(param) or str(self.names.get(param, param))


def written_number(param: str) -> str | None:
    """The number of a parameter that is written as one, perhaps with its table; None for other texts."""
    if not (written := _NUMBER.fullmatch(param)):
        return None
    number, table = int(written[1]), int(written[2] or 0)
    return str(number if table in (0, _DEFAULT_TABLE) else table * _TABLE_SIZE + number)


def _slips(text: str) -> Iterator[str]:
    """Texts that one slip of the keyboard turns into this one, the likeliest first.

    PERF: each is looked up. To compare with all names took 10 to 40 ms, in the event loop.
    """
    if len(text) > LONGEST_NAME + 1:
        return
    cuts = [(text[:n], text[n:]) for n in range(len(text) + 1)]
    yield from (left + right[1:] for left, right in cuts if right)
    yield from (left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1)
    yield from (left + letter + right[1:] for left, right in cuts if right for letter in _LETTERS)
    yield from (left + letter + right for left, right in cuts for letter in _LETTERS)


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables of the package, read once."""
    return _make_tables(json.loads(files(__package__).joinpath("tables.json").read_text()))


def tables_of(folder: Path) -> Tables:
    """Those of another metkit, whose `share/metkit` this is. Raises OSError, ValueError."""
    return _make_tables(read_tables(folder))


def _make_tables(found: Mapping[str, Any]) -> Tables:
    params: dict[str, list[str]] = found["params"]
    # Of one name for several parameters the first counts.
    names = {name.lower(): int(number) for number, all_ in reversed(params.items()) for name in all_}
    return Tables(
        frozenset(map(int, params)),
        names,
        {key: _by_name(values) for key, values in found["values"].items()},
        *(frozenset(found[keys]) for keys in ("single", "numbered", "integers", "decimals")),
    )


def _by_name(values: Iterable[list[str]]) -> dict[str, str]:
    return {name.lower(): names[0].lower() for names in values for name in names}


@lru_cache(maxsize=1)
def _last_digits(numbers: frozenset[int]) -> frozenset[int]:
    return frozenset(number % _TABLE_SIZE for number in numbers)
