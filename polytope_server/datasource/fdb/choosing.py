"""What of a request chooses fields: keys that there are, which are not off, and every value of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys, selection
from polytope_server.datasource.fdb.check import MAX_VALUES
from polytope_server.datasource.fdb.selection import Selection
from polytope_server.language import RequestError


def choosing(request: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a request that choose fields, with their values. DataSourceError for an unknown key."""
    if unknown := keys.describe_unknown(request):
        raise DataSourceError(str(RequestError(*unknown)))
    return {key: v for key, v in request.items() if key not in keys.NOT_DATA and not keys.is_off(v)}


def choose(request: Mapping[str, Any]) -> Selection:
    """Every value of the keys that choose fields; perhaps none. DataSourceError for what cannot be read."""
    return selection.expand(choosing(request), MAX_VALUES)


def choose_some(request: Mapping[str, Any], max_fields: int) -> Selection:
    """The same for a request that must choose fields, at most so many. DataSourceError if it does not."""
    wanted = choose(request)
    if not wanted:
        raise DataSourceError("the request chooses no fields")
    check_count(wanted, max_fields)
    return wanted


def check_count(wanted: Selection, max_fields: int) -> None:
    """DataSourceError for a selection of more fields than that."""
    if (fields := selection.count(wanted)) > max_fields:
        raise DataSourceError(f"the request describes {fields} fields; at most {max_fields} are accepted")
