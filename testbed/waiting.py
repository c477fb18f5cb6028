"""Waiting for a condition in tests, instead of for time."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when the condition is true. Raises AssertionError if it is not within `seconds`.

    Most conditions are calls of a server, so the longer it takes the less often they are checked.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(pause)
        pause = min(1.2 * pause, _LONGEST_PAUSE)
