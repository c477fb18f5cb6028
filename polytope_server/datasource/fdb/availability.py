"""Which fields of a request the FDB has: before it retrieves them, and for questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polytope_server.datasource import Answer
from polytope_server.datasource.fdb import selection
from polytope_server.datasource.fdb.selection import Found, Missing, Selection

AVAILABLE = "available"
"""The kind of question for how many fields there are, and which are missing."""
CHECK = "check"
"""The kind of question for a sentence about what is missing."""
KINDS = (AVAILABLE, CHECK)

#: Seconds for which fields are said to be there. Which are missing is not kept: they may be archived now.
_KEPT = 60.0


@dataclass(frozen=True)
class Availability:
    """What the FDB has of the fields that a request describes."""

    #: How many the request describes, without values that mean the same.
    fields: int
    #: How many are there, and their bytes.
    found: int
    size: int
    missing: Missing = field(default_factory=lambda: Missing(0, []))
    #: What the user reads if some are missing.
    problem: str = ""


def look(fdb: Any, wanted: Selection) -> Availability:
    """Ask the FDB for all fields of a request, and search for those that are missing."""
    found = _inspect(fdb, wanted)
    if found.count >= selection.count(wanted):
        return Availability(found.count, found.count, found.size)
    # A key that the FDB's schema does not have multiplies nothing.
    known = {key: values for key, values in wanted.items() if not found.count or key in found.values}
    rest = {key: values for key, values in wanted.items() if key not in known}
    gone = selection.missing(lambda part: _inspect(fdb, {**rest, **part}), known, found)
    if not gone.count:
        return Availability(found.count, found.count, found.size)
    problem = f"{gone.count} of {selection.count(known)} fields are not available: {gone}"
    if not found.count and (absent := _absent_keys(fdb, wanted)):
        problem += f". The request must also name: {', '.join(absent)}"
    return Availability(found.count + gone.count, found.count, found.size, gone, problem)


def answer(kind: str, there: Availability) -> Answer:
    """The answer to a question of that kind."""
    seconds = 0.0 if there.problem else _KEPT
    if kind == CHECK:
        return Answer([there.problem] if there.problem else [], seconds)
    missing = {"fields": there.missing.count, "examples": there.missing.named}
    return Answer(
        {"fields": there.fields, "available": there.found, "bytes": there.size, "missing": missing}, seconds
    )


def _inspect(fdb: Any, wanted: Selection) -> Found:
    found = Found()
    for element in fdb.inspect(wanted):
        found.add(element.combined_key(), element.length())
    return found


def _absent_keys(fdb: Any, wanted: Selection) -> list[str]:
    """The keys by which a field that fits the request otherwise is known, and that the request lacks."""
    element = next(iter(fdb.list(wanted)), None)
    return [key for key in selection.filed_keys(element) if key not in wanted] if element else []
