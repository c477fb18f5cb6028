"""Times as people and clients read them."""

from __future__ import annotations

import time


def stamp(seconds: float) -> str:
    """A time (UTC) as text, such as `2026-05-01T12:00:00Z`, from seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
