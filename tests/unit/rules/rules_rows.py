"""What a row of the table of rules is: data sources, a request to them, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: When requests are judged, unless a row says otherwise.
NOW = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)

#: Data sources of other types than `echo`.
FDB = "{name: fdb, type: fdb, fdb_config: {type: local, schema: $SCHEMA}}"
FEATURES = "{name: features, type: polytope, gribjump_config: {type: local, schema: $SCHEMA}}"
POINT = {"type": "timeseries", "points": [[38.9, -9.1]], "time_axis": "step", "range": {"start": 0, "end": 6}}
FIELD = {
    "class": "od",
    "stream": "oper",
    "expver": "0001",
    "domain": "g",
    "date": "20260101",
    "time": "0000",
    "type": "fc",
    "levtype": "sfc",
    "param": "2t",
}


@dataclass(frozen=True)
class Taken:
    """A data source takes the request, and is given this one."""

    by: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """The user reads why, in these words among others."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Invalid:
    """The configuration is refused, before there are requests."""

    words: tuple[str, ...]


class Json(str):
    """JSON that stands in the body of a submission as it is written here."""


@dataclass(frozen=True)
class Row:
    """One rule.

    `sources` is YAML: the keys of one data source `a` of type `echo`, or a list of data sources as
    collections have them. `sections` are further ones of the configuration. `request` is an object or a text.
    """

    name: str
    sources: str
    request: Any
    outcome: Taken | Refused | Invalid
    sections: str = ""
    verb: str = "retrieve"
    realm: str = "test"
    roles: tuple[str, ...] = ()
    now: datetime = NOW

    @property
    def configuration(self) -> str:
        """The text of the file."""
        listed = self.sources.lstrip().startswith("-")
        sources = self.sources if listed else f"- {{name: a, type: echo, {self.sources}}}"
        lines = "\n".join(f"      {line}" for line in sources.strip().splitlines())
        collection = f"collections:\n  c:\n    roles: {{test: any, other: any}}\n    datasources:\n{lines}\n"
        return collection + self.sections


def taken(name: str, sources: str, asked: Any, given: Mapping[str, Any], by: str = "a", **keys: Any) -> Row:
    """A row whose request a data source takes; `given` is what it gets."""
    return Row(name, sources, asked, Taken(by, given), **keys)


def refused(name: str, sources: str, asked: Any, *words: str, **keys: Any) -> Row:
    """A row whose request no data source takes."""
    return Row(name, sources, asked, Refused(words), **keys)


def invalid(name: str, sources: str, *words: str, **keys: Any) -> Row:
    """A row whose configuration is wrong."""
    return Row(name, sources, {}, Invalid(words), **keys)
