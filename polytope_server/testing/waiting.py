"""Waiting for a condition in tests, instead of for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as the condition is true. Raises AssertionError if it is not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- conditions of all kinds
            await asyncio.sleep(0.002)
