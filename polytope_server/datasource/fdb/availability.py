"""Which fields of a request the FDB has: before it retrieves them, and for questions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from polytope_server.datasource import Answer, Job
from polytope_server.datasource.fdb import absence, selection
from polytope_server.datasource.fdb.expectation import Expectation
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.selection import Filed, Found, Missing, Selection
from polytope_server.texts import clipped

ESTIMATE = "estimate"
"""The kind of question for how many fields a request asks for, their bytes, and which are missing."""
CHECK = "check"
"""The kind of question for a sentence about what is missing."""
KINDS = (ESTIMATE, CHECK)

Inspect = Callable[[Selection], Iterable[Filed]]
"""Asks for the fields of a selection that are there."""
Adapt = Callable[[Inspect, Selection], Iterable[Filed]]
"""Asks by another callable for the fields of which those of a selection are made."""

#: Seconds for which fields are said to be there. Which are missing is not kept: they may be archived now.
_KEPT = 60.0
#: Characters of a note.
_LONGEST = 400


@dataclass(frozen=True)
class Availability:
    """What the FDB has of the fields that a request describes."""

    #: How many the request describes, without values that mean the same.
    fields: int
    #: How many are there, and their bytes.
    found: int
    size: int
    missing: Missing = field(default_factory=lambda: Missing(0, []))
    #: What the user reads if the request fails.
    problem: str = ""
    #: The request's part by which no field is filed: it chose nothing.
    unused: Selection = field(default_factory=dict)


def look(
    fdb: Any,
    wanted: Selection,
    expected: Expectation | None,
    known: Tables | None,
    adapt: Adapt | None = None,
) -> Availability:
    """Ask the FDB for all fields of a request, and search for those that are missing.

    `expected` is how many must be there; None: all. `known` are the parameters by their names. `adapt` finds
    what is wanted where it is made of others.
    """
    ask: Inspect = partial(_list_filed, fdb)
    if adapt is not None:
        ask = partial(adapt, ask)
    found = _gather(ask(wanted))
    # A key that the FDB's schema does not have multiplies nothing.
    used = {key: values for key, values in wanted.items() if not found.count or found.knows(key)}
    unused = {key: values for key, values in wanted.items() if key not in used}
    gone = selection.missing(lambda part: _gather(ask({**unused, **part})), used, found)
    fields = found.count + gone.count
    problem = _describe(fdb, wanted, found, gone, expected, known)
    return Availability(fields, found.count, found.size, gone, problem, unused)


def filed_params(fdb: Any, wanted: Selection) -> set[str]:
    """The numbers of the parameters that the fields of a request are filed under."""
    return inspect(fdb, wanted).values.get("param", set())


def remark(job: Job, there: Availability, expected: Expectation | None, judged: Collection[str]) -> None:
    """Say in the job's message what has come, and what of the request has chosen nothing.

    `judged` are keys that have chosen the data source.
    """
    if expected is not None:
        gone = f"; not available: {there.missing}" if there.missing.count else ""
        text = f"{expected}: {there.found} of {there.fields} fields are available{gone}"
        job.note(f"{clipped(text, _LONGEST)}.")
    if unused := [f"{key}={selection.listed(v)}" for key, v in there.unused.items() if key not in judged]:
        text = f"Without effect, as the archive does not file these fields by it: {', '.join(unused)}"
        job.note(f"{clipped(text, _LONGEST)}.")


def answer(kind: str, there: Availability) -> Answer:
    """The answer to a question of that kind."""
    seconds = 0.0 if there.missing.count or there.problem else _KEPT
    if kind == CHECK:
        return Answer([there.problem] if there.problem else [], seconds)
    missing = {"fields": there.missing.count, "examples": there.missing.named}
    return Answer({"fields": there.fields, "bytes": there.size, "missing": missing}, seconds)


def inspect(fdb: Any, wanted: Selection) -> Found:
    """What the FDB has of a selection."""
    return _gather(_list_filed(fdb, wanted))


def _describe(
    fdb: Any,
    wanted: Selection,
    found: Found,
    gone: Missing,
    expected: Expectation | None,
    known: Tables | None,
) -> str:
    """What makes a request fail; the empty text if nothing does."""
    if not found.count and (absent := absence.absent_keys(fdb, wanted)):
        # Whatever is expected: that is no request for fields.
        return f"{_count(found, gone)}: {gone}. The request must also name: {', '.join(absent)}"
    if expected is not None:
        misfit = expected.describe_misfit(found.count)
        rest = f": {gone}" if gone.count else ""
        return (
            f"{misfit}, and {found.count} of {found.count + gone.count} are available{rest}" if misfit else ""
        )
    if not gone.count:
        return ""
    reason = "" if found.count else absence.explain(fdb, wanted, known)
    return f"{_count(found, gone)}: {gone}{reason}"


def _count(found: Found, gone: Missing) -> str:
    return f"{gone.count} of {found.count + gone.count} fields are not available"


def _list_filed(fdb: Any, wanted: Selection) -> Iterator[Filed]:
    for element in fdb.inspect(wanted):
        yield element.combined_key(), element.length()


def _gather(fields: Iterable[Filed]) -> Found:
    found = Found()
    for keys, size in fields:
        found.add(keys, size)
    return found
