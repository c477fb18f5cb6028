"""Requests in the FDB's own spelling (numbers of parameters, dates ...), which metkit brings them into."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.faults import user_fault
from polytope_server.datasource.fdb.selection import Selection

_PACKAGE = "pymetkit"


def is_installed() -> bool:
    """Whether this machine has metkit for Python."""
    return find_spec(_PACKAGE) is not None


def expand(selection: Selection) -> Selection:
    """Each value of a selection once, as the FDB spells it. DataSourceError for what metkit does not take.

    Keys that the selection does not have are not added. How long it takes grows with the values: a selection
    has a bounded number of them.
    """
    from pymetkit import MarsRequest, MetKitException

    try:
        found = MarsRequest("retrieve", selection).expand(inherit=False, strict=True)
    except MetKitException as error:
        raise DataSourceError(user_fault(str(error)) or "the request cannot be read") from None
    except (UnicodeError, TypeError):
        # metkit's own text has a piece of a letter, or the value is no text that C++ can have.
        raise DataSourceError("a value of the request cannot be read") from None
    return {key: list(dict.fromkeys(_listed(found[key]))) for key in selection}


def _listed(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else [str(value) for value in values]
