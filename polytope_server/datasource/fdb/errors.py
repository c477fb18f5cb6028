"""Errors of pyfdb, as those of a data source: whose fault they are, and what the user reads of them."""

from __future__ import annotations

import logging
import re
from typing import Any

from polytope_server.datasource import DataSourceError, TemporaryError

logger = logging.getLogger(__name__)

#: How metkit says it; where others run out of memory pyfdb raises MemoryError itself.
_NO_MEMORY = "Memory allocation error"
_LONGEST = 300


class Errors:
    """Turns the errors of pyfdb that are raised in its block into those of a data source."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, RuntimeError | TypeError | ValueError):
            return
        text = str(error)
        if _NO_MEMORY in text:
            raise MemoryError(text) from None
        if fault := user_fault(text):
            raise DataSourceError(fault) from None
        logger.error("data source %s: %s", self._name, text)
        raise TemporaryError(f"{self._name} cannot be used at the moment.") from None


def user_fault(text: str) -> str | None:
    """What the user should read of an error of pyfdb; None where it is not the user's fault."""
    if absent := re.match(r"Serious bug: Could not find \[(\w+)\]", text):
        return f"the FDB files fields under the key '{absent[1]}', which a message does not have"
    if unused := re.match(r"Serious bug: Keywords not used: \{([\w,]+)\}", text):
        return f"the FDB does not file fields under '{unused[1]}', which a message has"
    if misfit := re.match(r"Serious bug: FDB: Could not find a rule to archive \{(.*)\}", text, re.DOTALL):
        return f"the FDB has no rule for a field with the keys {misfit[1][:_LONGEST]}"
    if damage := re.match(r"CodesException: (.*)", text, re.DOTALL):
        return f"a GRIB message cannot be read: {damage[1][:_LONGEST].strip()}"
    found = re.match(r"(?:UserError: |Bad value: )+", text)
    if not found:
        return None
    # What follows is the expanded request, or every value that would do.
    short = re.split(r",? (?:request=|expanded=|with context: |in \[)", text[found.end() :])[0]
    return short[:_LONGEST].strip()
