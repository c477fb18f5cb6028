"""`Retry-After`: when a client that was refused, or that polls, may call again. Written here only."""

from __future__ import annotations

import math

#: Seconds where the server cannot know when there will be room, or news.
_USUAL = 5


def whole_seconds(seconds: float | None = None) -> int:
    """A wait as clients get it: 1 second or more, and the usual one if it is not known (None)."""
    return _USUAL if seconds is None else max(1, math.ceil(seconds))


def retry_after(seconds: float | None = None) -> dict[str, str]:
    """The header for a wait of this many seconds, or of the usual time."""
    return {"Retry-After": str(whole_seconds(seconds))}
