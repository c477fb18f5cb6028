"""The two errors of the language: the user's (RequestError) and the operator's (RuleError)."""

from __future__ import annotations

from itertools import islice

from polytope_server.texts import clipped

MAX_PROBLEMS = 20
"""More problems than this are counted, not listed: a message must not grow with a hostile request."""


class RequestError(ValueError):
    """What a user wrote cannot be accepted.

    Takes one text a problem; each names the key, the value and what would be accepted. `str()` of the
    error is what the user reads: one line a problem. `problems` holds them one by one.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"... and {len(problems) - MAX_PROBLEMS} more problems")
        super().__init__("\n".join(shown))


class RuleError(ValueError):
    """What an operator wrote in a data source's section cannot be a rule; the text says why."""


def shown(value: object, limit: int = 60) -> str:
    """The value as an error message quotes it: its repr, cut to `limit` characters.

    Long values are cut before they are represented, so that a message costs no more than it shows.
    """
    try:
        text = repr(_cut(value, limit + 1))
    except ValueError:  # Python refuses to print an integer of thousands of digits
        text = "a very long number"
    return clipped(text, limit)


def _cut(value: object, most: int, depth: int = 3) -> object:
    """The value with no more than its first `most` characters or items, on each of the upper levels."""
    if isinstance(value, str):
        return value[:most]
    if isinstance(value, list | tuple | dict) and depth == 0:
        return ...
    if isinstance(value, dict):
        items = islice(value.items(), most)
        return {_cut(key, most, 0): _cut(item, most, depth - 1) for key, item in items}
    if isinstance(value, list | tuple):
        return type(value)(_cut(item, most, depth - 1) for item in value[:most])
    return value
