"""What is wrong with a request for the FDB, found when it is submitted: without the FDB, or its libraries."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys, schema, selection
from polytope_server.datasource.fdb.metkit import Tables, tables
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.no_request import EXPECTED, describe_no_request
from polytope_server.language.ranges import is_range, joined, split

logger = logging.getLogger(__name__)

#: The most values of one key.
MAX_VALUES = 100_000
#: Values of one key that an answer names.
_NAMED = 5
_EACH = "each of them, or a range a/to/b"
#: Whole numbers, and those that need not be whole: how they are written, and what users read.
_NUMBERS = (
    (re.compile("-?[0-9]+"), f"expected whole numbers, {_EACH}"),
    (re.compile(r"-?[0-9]+(?:\.[0-9]*)?"), f"expected numbers, {_EACH}"),
)


class RequestCheck:
    """Checks requests for one FDB: names of keys and parameters, values, and what the schema demands."""

    def __init__(self, demands: schema.Schema | None, max_fields: int) -> None:
        """`demands` is None where the schema cannot be read: then what it demands is not checked."""
        self._demands = demands
        self._max_fields = max_fields

    def __call__(self, request: Mapping[str, Any], verb: str) -> None:
        """Raises DataSourceError with everything that is wrong."""
        if "data" in request:  # what coercion makes of anything but a mapping; defaults may be beside it
            raise DataSourceError(describe_no_request(request["data"]))
        problems = keys.describe_unknown(request)
        request = {key: value for key, value in request.items() if not _is_off(value)}
        problems += _describe_values(request, tables())
        if verb == "retrieve" and not problems:
            problems += self._describe_choice(request)
        if problems:
            raise DataSourceError(str(RequestError(*problems)))

    def _describe_choice(self, request: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with the fields that a request chooses, all of whose keys and values are good."""
        chosen = {key: value for key, value in request.items() if key not in keys.NOT_DATA}
        if not chosen:
            yield f"the request chooses no fields; {EXPECTED}"
            return
        if (fields := selection.count_of(chosen, MAX_VALUES)) > self._max_fields:
            yield f"the request describes {fields} fields; at most {self._max_fields} are accepted"
        if self._demands is not None and (absent := self._demands.missing(_spell(chosen, tables()))):
            yield f"the request must also name: {', '.join(absent)}"


def read_schema(config: Mapping[str, Any]) -> schema.Schema | None:
    """The schemas that the configuration of an FDB names, as one; None if one of them cannot be read here."""
    rules: list[Any] = []
    for path in schema.schema_paths(config):
        try:
            text = Path(path or "").read_text()
            rules += schema.parse(text, tables().canonical).rules
        except (OSError, ValueError) as error:
            logger.info("requests are not checked for the keys of the FDB's schema: %s", error)
            return None
    return schema.Schema(tuple(rules))


def _is_off(value: Any) -> bool:
    """Whether a key is there as if it were not: so users of MARS say it."""
    return isinstance(value, str) and value.lower() == "off"


def _spell(request: Mapping[str, Any], known: Tables) -> dict[str, set[str]]:
    """The values of each key in canonical spelling; ranges count as their words, which no rule is for."""
    return {key: {known.canonical(key, one) for one in split(joined(key, v))} for key, v in request.items()}


def _describe_values(request: Mapping[str, Any], known: Tables) -> Iterator[str]:
    for key, value in request.items():
        if key not in keys.DATA:
            continue
        try:
            selection.count_of({key: value}, MAX_VALUES)
        except DataSourceError as error:
            yield str(error)
            continue
        text = joined(key, value)
        if is_range(text):
            continue
        yield from _describe_wrong(key, split(text), known)


def _describe_wrong(key: str, values: list[str], known: Tables) -> Iterator[str]:
    """What is wrong with the single values of a key."""
    if key in known.single and len(values) > 1:
        yield f"key '{key}': {shown('/'.join(values))} is not accepted; the FDB takes one value of it"
    if key == "param":
        wrong = [value for value in values if not known.knows_param(value)]
        yield from (_describe_param(value, known) for value in wrong[:_NAMED])
    elif key in known.integers | known.decimals:
        pattern, expected = _NUMBERS[key in known.decimals]
        wrong = [value for value in values if not pattern.fullmatch(value)]
        yield from (f"key '{key}': {shown(value)} is not accepted; {expected}" for value in wrong[:_NAMED])
    elif key in known.values:
        wrong = [value for value in values if not known.knows_value(key, value)]
        yield from (_describe_value(key, value, known) for value in wrong[:_NAMED])


def _describe_param(value: str, known: Tables) -> str:
    number, point, table = value.partition(".")
    which = f" (number {number} of table {table})" if point and (number + table).isdigit() else ""
    near = known.near_param(value)
    hint = f"did you mean '{near}'?" if near else "expected short names such as 2t, or numbers such as 167"
    return f"key 'param': {shown(value)} is no parameter that the FDB knows{which}; {hint}"


def _describe_value(key: str, value: str, known: Tables) -> str:
    near = difflib.get_close_matches(value.lower(), known.values[key], 1)
    some = sorted(set(known.values[key].values()))[:_NAMED]
    hint = f"did you mean '{near[0]}'?" if near else f"expected {', '.join(some)} ..."
    return f"key '{key}': {shown(value)} is not one of its values; {hint}"
