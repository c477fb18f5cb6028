"""Waits with a time limit."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def wait_at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait until the event is set, for `seconds` at most."""
    # Not wait_for(): before Python 3.12 that may swallow a cancellation.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
