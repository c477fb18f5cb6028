"""Errors of pyfdb, as those of a data source: by whose fault they are."""

from __future__ import annotations

import logging
from typing import Any

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.fdb.faults import user_fault

logger = logging.getLogger(__name__)

#: How metkit says it; where others run out of memory pyfdb raises MemoryError itself.
_NO_MEMORY = "Memory allocation error"
#: How the FDB says it where no root may be written to.
_NO_ROOT = "Unexpected state: No writable roots available"


class Errors:
    """Turns the errors of pyfdb that are raised in its block into those of a data source."""

    def __init__(self, name: str, read_only: bool = False) -> None:
        """`read_only`: some roots are so by the configuration, whereas others may be missing for a while."""
        self._name = name
        self._read_only = read_only

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
        if self._read_only and text.startswith(_NO_ROOT):
            raise DataSourceError("the FDB is read-only for such fields") from None
        raise TemporaryError(f"{self._name} cannot be used at the moment.") from None
