"""From the text of a request to every single value of its keys, as the archive spells them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.choosing import check_count, choose_some, choosing
from polytope_server.datasource.fdb.expansion import expand
from polytope_server.datasource.fdb.selection import Selection
from polytope_server.datasource.polytope.archive import Archive
from polytope_server.datasource.polytope.check import is_open
from polytope_server.features import Feature, select_archived
from polytope_server.language import RequestError
from polytope_server.language.ranges import joined


def choose(
    archive: Archive, request: Mapping[str, Any], feature: Feature, judged: Collection[str], max_fields: int
) -> Selection:
    """Every value of every key that chooses fields. DataSourceError for what cannot be asked for.

    A range without `by` stands for the values of it that the archive has; `judged` are keys of which that is
    judged before.
    """
    texts = {key: joined(key, value) for key, value in choosing(request).items()}
    ranges = {key: text for key, text in texts.items() if is_open(key, text, feature)}
    closed = {key: request[key] for key in texts if key not in ranges}
    chosen = expand(choose_some(closed, max_fields))
    for key, text in ranges.items():
        chosen[key] = _values_within(archive, chosen, key, text, key in judged)
        check_count(chosen, max_fields)
    return {key: chosen[key] for key in texts}


def _values_within(archive: Archive, chosen: Selection, key: str, text: str, judged: bool) -> list[str]:
    """The values of a range that the archive has, in the direction of the range."""
    try:
        values = select_archived(key, text, archive.values(chosen, key), judged=judged)
    except RequestError as error:
        raise DataSourceError(str(error)) from None
    if not values:
        raise DataSourceError(f"the archive has no {key} in {text} of the fields of this request")
    return values
