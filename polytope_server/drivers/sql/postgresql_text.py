"""Statements for PostgreSQL, and the texts in them.

It cannot keep the character NUL: that is written as SUB 0, and SUB as SUB 1. Both are so rare that nearly
every text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from polytope_server.drivers.sql import Outcome, Parameters, Row
from polytope_server.drivers.sql.postgresql_connection import Driver

_NUL, _SUB = "\x00", "\x1a"
#: A parameter, `:name`; two colons are a cast.
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


async def run(connection: Driver, sql: str, parameters: Parameters) -> Outcome:
    """Run one statement."""
    result = await connection.execute(_for_driver(sql), encoded(parameters))
    if result.description is None:
        return Outcome([], result.rowcount)
    rows = decoded(await result.fetchall())
    return Outcome(rows, len(rows))


@lru_cache(maxsize=500)  # the same few statements again and again
def _for_driver(sql: str) -> bytes:
    """A statement with its parameters as psycopg names them."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


def encoded(parameters: Parameters) -> dict[str, Any]:
    """Parameters of a statement as PostgreSQL takes them."""
    return {name: _encode(value) for name, value in parameters.items()}


def decoded(rows: Iterable[Sequence[Any]]) -> list[Row]:
    """Rows as they were before."""
    # PERF: of a million rows, few texts are to be changed; a call for each value would take half of the time.
    return [
        tuple([_decode(value) if isinstance(value, str) and _SUB in value else value for value in row])
        for row in rows
    ]


def _encode(value: Any) -> Any:
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if not isinstance(value, str):
        return value
    plain = str(value)  # of a member of an enumeration, the driver would take the name
    if _NUL in plain or _SUB in plain:
        return plain.replace(_SUB, _SUB + "1").replace(_NUL, _SUB + "0")
    return plain


def _decode(found: str) -> str:
    return found.replace(_SUB + "0", _NUL).replace(_SUB + "1", _SUB)
