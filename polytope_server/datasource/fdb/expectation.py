"""How many fields a user expects: the key `expect`, as MARS means it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.keys import EXPECT, is_off
from polytope_server.language.errors import shown

_NUMBER = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Expectation:
    """How many of the fields of a request must be there: a number of them, or any at all."""

    number: int | None

    def describe_misfit(self, fields: int) -> str:
        """What is wrong with that many fields; the empty text if they are as expected."""
        if self.number is None or self.number == fields:
            return ""
        return f"key '{EXPECT}': {self.number} fields are expected"

    def __str__(self) -> str:
        return f"{EXPECT}={'any' if self.number is None else self.number}"


ANY = Expectation(None)
"""What is there will do, however few fields it is."""


def read_expectation(request: Mapping[str, Any]) -> Expectation | None:
    """What a request says of it; None if nothing: then all fields must be there. Raises DataSourceError."""
    value = request.get(EXPECT)
    if value is None or is_off(value):
        return None
    text = str(value).strip().lower()
    if text == "any":
        return ANY
    if not _NUMBER.fullmatch(text):
        raise DataSourceError(
            f"key '{EXPECT}': {shown(value)} is not accepted; expected 'any', or the number of fields"
        )
    return Expectation(int(text))
