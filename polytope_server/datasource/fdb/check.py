"""What is wrong with a request for the FDB, found when it is submitted: without the FDB, or its libraries."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys, schema, selection
from polytope_server.datasource.fdb.instructions import Instructions
from polytope_server.datasource.fdb.metkit import Tables, tables, tables_of
from polytope_server.datasource.fdb.postprocess.door import Door
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.no_request import EXPECTED, describe_no_request
from polytope_server.language.ranges import is_range, joined, split
from polytope_server.language.source_rules import Spelling

logger = logging.getLogger(__name__)

NO_INSTRUCTIONS = Instructions()
#: The most values of one key.
MAX_VALUES = 100_000
#: Values of one key that an answer names.
_NAMED = 5
#: Characters of a value that are compared with those that there are.
_LONGEST = 100
#: Whole numbers, and those that need not be whole: how they are written, and what users read.
_NUMBERS = (
    (re.compile("-?[0-9]+"), "expected whole numbers"),
    (re.compile(r"-?[0-9]+(?:\.[0-9]*)?"), "expected numbers"),
)


class RequestCheck:
    """Checks requests for one FDB: names of keys and parameters, values, and what the schema demands."""

    def __init__(
        self,
        demands: schema.Schema | None,
        known: Tables | None,
        max_fields: int,
        instructions: Instructions = NO_INSTRUCTIONS,
        door: Door | None = None,
    ) -> None:
        """`demands` and `known` are None where they cannot be read: then they are not checked.

        `instructions` says which keys are served that choose no field. `door` is for those of
        post-processing.
        """
        self._demands = demands
        self._known = known
        self._max_fields = max_fields
        self._instructions = instructions
        self._door = door

    def __call__(self, request: Mapping[str, Any], verb: str) -> None:
        """Raises DataSourceError with everything that is wrong."""
        if "data" in request:  # what coercion makes of anything but a mapping; defaults may be beside it
            raise DataSourceError(describe_no_request(request["data"]))
        problems = keys.describe_unknown(request)
        request = {key: value for key, value in request.items() if not keys.is_off(value)}
        problems += self._instructions.refusals(request, verb)
        problems += _error_of(partial(self._instructions.expectation, request))
        problems += self._door.problems(request, verb) if self._door else []
        problems += _describe_values(request, self._known)
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
        fields = selection.count_of(chosen, MAX_VALUES)
        if fields > self._max_fields:
            yield f"the request describes {fields} fields; at most {self._max_fields} are accepted"
        expected = self._instructions.expectation(request)
        if expected and expected.number and expected.number > fields:
            yield f"{expected.describe_misfit(fields)}, and the request describes {fields}"
        if self._demands is not None and (absent := self._demands.missing(_spell(chosen, self._known))):
            yield f"the request must also name: {', '.join(absent)}"


def read_known(folder: Path | None) -> Tables | None:
    """The tables of metkit: those of the package, or of a folder; None if they cannot be read here."""
    if folder is None:
        return tables()
    try:
        return tables_of(folder)
    except (OSError, ValueError) as error:
        logger.info("requests are not checked for values that the FDB knows: %s", error)
        return None


def find_spelling(folder: Path | None) -> Spelling | None:
    """How values are compared: as metkit knows them; None if its tables cannot be read here."""
    known = read_known(folder)
    return known.spelling if known else None


def _fold(key: str, value: str) -> str:
    return value.lower()


def _spell(request: Mapping[str, Any], known: Tables | None) -> dict[str, set[str]]:
    """The values of each key in canonical spelling; ranges count as their words, which no rule is for."""
    canonical = known.canonical if known else _fold
    return {key: {canonical(key, one) for one in split(joined(key, v))} for key, v in request.items()}


def _error_of(call: Callable[[], object]) -> Iterator[str]:
    try:
        call()
    except DataSourceError as error:
        yield str(error)


def _describe_values(request: Mapping[str, Any], known: Tables | None) -> Iterator[str]:
    for key, value in request.items():
        if key not in keys.DATA:
            continue
        if problems := [*_error_of(partial(selection.count_of, {key: value}, MAX_VALUES))]:
            yield from problems
            continue
        text = joined(key, value)
        if is_range(text) or known is None:
            continue
        yield from _describe_wrong(key, split(text), known)


def _describe_wrong(key: str, values: list[str], known: Tables) -> Iterator[str]:
    """What is wrong with the single values of a key."""
    if key in known.single and len(values) > 1:
        yield f"key '{key}': {shown('/'.join(values))} is not accepted; the FDB takes one value of it"
    if "all" in map(str.lower, values):
        yield f"key '{key}': 'all' is not accepted; the FDB needs each value by itself, or a range a/to/b"
    elif key == "param":
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
    number, _, table = value.partition(".")
    which = f" (number {number} of table {table})" if number.isdigit() and table.isdigit() else ""
    near = known.near_param(value)
    hint = f"did you mean '{near}'?" if near else "expected short names such as 2t, or numbers such as 167"
    return f"key 'param': {shown(value)} is no parameter that the FDB knows{which}; {hint}"


def _describe_value(key: str, value: str, known: Tables) -> str:
    near = difflib.get_close_matches(value[:_LONGEST].lower(), known.values[key], 1)
    some = sorted(set(known.values[key].values()))[:_NAMED]
    hint = f"did you mean '{near[0]}'?" if near else f"expected {', '.join(some)} ..."
    return f"key '{key}': {shown(value)} is not one of its values; {hint}"
